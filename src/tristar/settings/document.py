"""Reading one table of the configuration file by its rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tristar.settings.faults import Faults, key_path, shown, suggestion
from tristar.settings.kinds import Rejected
from tristar.settings.row import Row

_WRONG_KEY_FIX = "Put the key in an environment variable and name that in api_key_env."


def table_at(parent: Mapping[str, Any], name: str, at: Sequence[str], faults: Faults) -> dict[str, Any]:
    """The table `name` of `parent`; empty where it is missing or, after noting it, not a table."""
    value = parent.get(name, {})
    if isinstance(value, dict):
        return value
    key = key_path(*at, name)
    faults.add(key, shown(value), "must be a table", f"Write it as [{key}].")
    return {}


def read_table(
    table: Mapping[str, Any],
    rows: Sequence[Row],
    at: Sequence[str],
    faults: Faults,
    tables: Iterable[str] = (),
) -> dict[str, Any]:
    """The field values that `table` sets; `tables` are the names of tables read elsewhere."""
    by_name = {row.name: row for row in rows}
    values: dict[str, Any] = {}
    for name, value in table.items():
        row = by_name.get(name)
        key = key_path(*at, name)
        if row is not None:
            try:
                values[row.field] = row.kind.from_toml(value)
            except Rejected as reason:
                faults.reject(key, value, row, reason)
        elif name not in tables:
            known = [*by_name, *tables]
            fix = _WRONG_KEY_FIX if name == "api_key" else suggestion(name, known)
            faults.add(key, "", "is not a known key", fix)
    return values
