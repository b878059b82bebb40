"""The rows are the settings: complete, documented, and true to their defaults."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from dotenv import dotenv_values

from tristar.providers.registry import PROVIDER_VARIABLES
from tristar.routing.catalog import BreakerPolicy, Llm, Pool, Provider
from tristar.settings import Audit, Auth, Metrics, Server, load
from tristar.settings.model import Dependencies, Logs, PriceTable, Slo
from tristar.settings.reference import render
from tristar.settings.row import Row
from tristar.settings.table import AUTH, DEPENDENCIES, LOGS, MEMORY, SECTIONS, SERVER, SLO, VARIABLES

ROOT = Path(__file__).resolve().parents[2]
ROWS = [*VARIABLES, *(row for rows in SECTIONS.values() for row in rows)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.owner.__name__}.{row.field}")
def test_every_row_fills_a_field_that_exists_and_accepts_its_default(row: Row) -> None:
    """A default outside its own range could not be written down by an operator."""
    assert row.field in {each.name for each in fields(row.owner)}
    if isinstance(row.default, str | int | float):
        assert row.kind.from_toml(row.default) == row.default


@pytest.mark.parametrize(
    "owner", [Server, Audit, Metrics, Auth, Provider, Llm, Pool, BreakerPolicy, PriceTable]
)
def test_every_field_has_its_row(owner: type) -> None:
    """Nothing can be configured in the code alone."""
    by_table = {"name", "llm_id", "breaker", "price", "sinks", "anchors"}
    filled = {row.field for row in ROWS if row.owner is owner}

    assert {each.name for each in fields(owner)} - by_table == filled


def test_the_reference_page_is_what_the_table_says() -> None:
    """`make docs` was run after the last change of a row."""
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == render()


def test_the_env_template_lists_every_variable_and_changes_nothing(tmp_path: Path) -> None:
    """Copying `.env.example` to `.env` as it is gives the defaults."""
    listed = dotenv_values(ROOT / ".env.example", interpolate=False)
    defaults = load({}, tmp_path)
    (tmp_path / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    settings = load({}, tmp_path)

    assert set(listed) == {row.name for row in VARIABLES} | PROVIDER_VARIABLES
    assert (settings.audit, settings.data_dir) == (defaults.audit, defaults.data_dir)
    assert list(settings.catalog.llms) == ["echo"]


IN_COMMENTS = ("tls_cert", "tls_key")
"""Shown as comments: they name files, which must be there."""


def test_the_example_file_shows_every_key_with_its_default(tmp_path: Path) -> None:
    """Uncommented or copied, the example is valid, complete, and says what the code does."""
    path = ROOT / "docs/tristar.example.toml"
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    settings = load({"OPENAI_API_KEY": "k-123"}, tmp_path, path)
    fast = document["llms"]["fast"]
    assert all(f"# {name} = " in path.read_text(encoding="utf-8") for name in IN_COMMENTS)
    shown = {
        "providers.NAME": document["providers"]["openai"],
        "llms.NAME": {name: value for name, value in fast.items() if not isinstance(value, dict)},
        "llms.NAME.breaker": fast["breaker"],
        "llms.NAME.price_usd_per_mtok": fast["price_usd_per_mtok"],
        "llms.POOL": document["llms"]["balanced"],
        "server": {*document["server"], *IN_COMMENTS},
        "auth": document["auth"],
        "dependencies": document["dependencies"],
        "slo": document["slo"],
        "logs": document["logs"],
        "memory": document["memory"],
    }

    assert {name: set(table) for name, table in shown.items()} == {
        name: {row.name for row in rows} for name, rows in SECTIONS.items()
    }
    assert settings.server == Server()
    assert settings.auth == Auth()
    assert settings.dependencies == Dependencies()
    assert settings.slo == Slo()
    assert settings.logs == Logs()
    assert replace(settings.catalog.find("fast").breaker, slow_call_s=None) == BreakerPolicy()
    assert settings.catalog.find("fast").retries == Llm.retries


def test_rows_of_own_tables_are_toml_keys_of_the_same_name() -> None:
    """The attribute an engineer reads is the key an operator writes."""
    rows = (*SERVER, *AUTH, *DEPENDENCIES, *SLO, *LOGS, *MEMORY)

    assert [row.name for row in rows] == [row.field for row in rows]
