"""The pools of the configuration file: `[llms.NAME]` tables that name a `pool`."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tristar.routing.catalog import Llm, Pool, Provider
from tristar.settings import texts
from tristar.settings.document import read_table
from tristar.settings.faults import Faults, key_path, shown, suggestion
from tristar.settings.kinds import Rejected
from tristar.settings.llmtable import LLM, POOL

MEMBERS: Final = 16
"""Llms in one pool: a request may try them all."""


def is_pool(table: object) -> bool:
    """Whether an `[llms.NAME]` is a pool rather than an llm."""
    return isinstance(table, dict) and "pool" in table


def check_name(llm_id: str, faults: Faults) -> None:
    """Note a name that clients could not send."""
    try:
        texts.MODEL.from_text(llm_id)
    except Rejected as reason:
        faults.add(key_path("llms", llm_id), "", f"is not a usable name: {reason}", "Rename it.")


def read_pools(tables: Mapping[str, Any], faults: Faults) -> dict[str, Pool]:
    """The pools among the tables of `[llms]`; one whose members cannot be read is left out, and noted."""
    pools: dict[str, Pool] = {}
    for llm_id, table in tables.items():
        if not is_pool(table):
            continue
        at = ("llms", llm_id)
        _check_keys(table, at, faults)
        known = {name: value for name, value in table.items() if name not in _LLM_KEYS}
        values = read_table(known, POOL, at, faults)
        if "pool" in values:
            pools[llm_id] = Pool(llm_id=llm_id, **values)
    return pools


_LLM_KEYS: Final = {row.name for row in LLM} - {row.name for row in POOL} | {"breaker", "price_usd_per_mtok"}


def _check_keys(table: Mapping[str, Any], at: tuple[str, str], faults: Faults) -> None:
    for name in table.keys() & _LLM_KEYS:
        problem = "belongs to an llm, and this is a pool"
        faults.add(key_path(*at, name), "", problem, "Set it on the members; the pool has none of its own.")


def check_pools(
    pools: Mapping[str, Pool], llms: Mapping[str, Llm], opened: Mapping[str, Provider], faults: Faults
) -> None:
    """Note every pool that could not be what it says."""
    for llm_id, pool in pools.items():
        _check_size(pool, ("llms", llm_id), faults)
        key = key_path("llms", llm_id, "pool")
        for name in pool.pool:
            prefix, slash, model = name.partition("/")
            if name in pools:
                faults.add(key, shown(name), "is a pool itself", "Name its llms instead.")
            elif name not in llms and not (slash and model and prefix in opened):
                faults.add(key, shown(name), "is not a configured llm", suggestion(name, llms))
        _check_guarantee(pool, [llms[name] for name in pool.pool if name in llms], faults)


def _check_size(pool: Pool, at: tuple[str, str], faults: Faults) -> None:
    count = len(pool.pool)
    if not 1 <= count <= MEMBERS:
        fix = f"Name 1 to {MEMBERS} llms."
        faults.add(key_path(*at, "pool"), "", f"names {count} llms", fix)
    if pool.weights and len(pool.weights) != count:
        problem = f"has {len(pool.weights)} numbers for {count} llms"
        faults.add(key_path(*at, "weights"), "", problem, "Give one for each llm of pool, in its order.")


def _check_guarantee(pool: Pool, members: Iterable[Llm], faults: Faults) -> None:
    """Who asks a pool for a stream should know what to expect."""
    if len({llm.stream_guarantee for llm in members}) > 1:
        problem = "has members of different stream_guarantee"
        faults.add(key_path("llms", pool.llm_id, "pool"), "", problem, "Give all of them the same.")
