"""`tristar storage migrate`: what an operator sees of the move."""

import json
from pathlib import Path

import pytest
from tests.cli.logs import enter, run
from tests.gateway.fixtures import StartGateway
from tests.storage.fixtures import empty_postgres, postgres_server

__all__ = ["empty_postgres", "postgres_server"]


def test_a_gateway_goes_on_with_postgresql_where_it_stopped_with_sqlite(
    gateway: StartGateway, empty_postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused while it runs; then moved and counted; the same entry afterwards under the same id."""
    running = gateway(name="before")
    made = running.request("POST", "/v1/memory", json={"content": "moved house"}).json()
    enter(tmp_path, monkeypatch)
    monkeypatch.setenv("AUDIT_LOG_DIR", str(running.audit_folder))
    monkeypatch.setenv("TRISTAR_DATA_DIR", str(running.data_folder))
    refused = run("storage", "migrate", "--to", empty_postgres)
    running.stop()
    moved = run("storage", "migrate", "--to", empty_postgres, "--json")
    again = run("storage", "migrate", "--to", empty_postgres)
    after = gateway(name="after", env={"DATABASE_URL": empty_postgres})

    assert (refused.exit_code, "stop it first" in refused.stderr) == (2, True)
    assert json.loads(moved.stdout)["moved"]["memory_entries"] == 1
    assert (again.exit_code, "not empty" in again.stderr) == (1, True)
    assert after.request("GET", f"/v1/memory/{made['id']}").json() == made
    assert after.scrape().value("ailinux_memory_entries_total") == 1


def test_what_cannot_be_moved_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No database here, and a URL that is none; the URL may hold a password and is not repeated."""
    enter(tmp_path, monkeypatch)
    nothing = run("storage", "migrate", "--to", "postgresql://u:canary-password@127.0.0.1:1/x")
    Path("data").mkdir()
    Path("data/tristar.sqlite3").touch()
    wrong = run("storage", "migrate", "--to", "mysql://u:canary-password@127.0.0.1/x")
    away = run("storage", "migrate", "--to", "postgresql://u:canary-password@127.0.0.1:1/x")

    assert [each.exit_code for each in (nothing, wrong, away)] == [2, 2, 1]
    assert all("canary-password" not in each.stderr for each in (nothing, wrong, away))
