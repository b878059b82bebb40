"""The gateway's configuration file, written from values."""

import json
from collections.abc import Mapping, Sequence

Value = str | int | float | bool | Sequence[str]


def document(*tables: str) -> str:
    """The tables as one file."""
    return "\n".join(tables)


def server(**keys: Value) -> str:
    """The `[server]` table."""
    return _table("server", keys)


def provider(name: str, base_url: str, **keys: Value) -> str:
    """One `[providers.NAME]`, of the openai dialect unless `keys` says otherwise."""
    return _table(f"providers.{name}", {"dialect": "openai", "base_url": base_url, **keys})


def llm(llm_id: str, provider: str, **keys: Value | Mapping[str, Value]) -> str:
    """One `[llms.LLM_ID]`; a value that is a table becomes `[llms.LLM_ID.KEY]`."""
    plain = {key: value for key, value in keys.items() if not isinstance(value, Mapping)}
    text = _table(f'llms."{llm_id}"', {"provider": provider, **plain})
    tables = {key: value for key, value in keys.items() if isinstance(value, Mapping)}
    return "\n".join([text, *(_table(f'llms."{llm_id}".{key}', value) for key, value in tables.items())])


def pool(name: str, members: Sequence[str], **keys: Value) -> str:
    """A pool of these llms."""
    return _table(f'llms."{name}"', {"pool": members, **keys})


def price(llm_id: str, input_usd: float, output_usd: float) -> str:
    """What an llm costs per million tokens: behind its `llm`."""
    return _table(f'llms."{llm_id}".price_usd_per_mtok', {"input": input_usd, "output": output_usd})


def _table(name: str, keys: Mapping[str, Value]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]  # JSON of these is TOML
    return "\n".join([f"[{name}]", *lines, ""])
