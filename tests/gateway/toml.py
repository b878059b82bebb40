"""The gateway's configuration file, written from values."""

import json
from collections.abc import Sequence

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


def llm(llm_id: str, provider: str, *, breaker: dict[str, Value] | None = None, **keys: Value) -> str:
    """One `[llms.LLM_ID]` with its `[llms.LLM_ID.breaker]`."""
    text = _table(f'llms."{llm_id}"', {"provider": provider, **keys})
    return text + _table(f'llms."{llm_id}".breaker', breaker) if breaker else text


def _table(name: str, keys: dict[str, Value]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]  # JSON of these is TOML
    return "\n".join([f"[{name}]", *lines, ""])
