"""From settings to a database, and what is refused on the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from tristar.errors import SettingsInvalid
from tristar.storage.opening import open_engine


def pragma(connection: Connection, name: str) -> object:
    """What SQLite says of one of its settings."""
    return connection.execute(text(f"PRAGMA {name}")).scalar_one()


async def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask: the directory 0700, the database and the log beside it 0600."""
    before = os.umask(0)
    try:
        database = open_engine(None, tmp_path / "new" / "data")
        await database.start()
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "data").iterdir()}
        await database.close()
    finally:
        os.umask(before)

    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700
    assert modes["tristar.sqlite3"] == 0o600
    assert set(modes.values()) == {0o600}


async def test_a_file_with_loose_permissions_is_tightened(tmp_path: Path) -> None:
    """A database that somebody copied in is made private."""
    (tmp_path / "tristar.sqlite3").touch(0o644)
    await open_engine(None, tmp_path).close()

    assert (tmp_path / "tristar.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    """The settings that durability and erasure rest on, as SQLite itself reports them."""
    database = open_engine(None, tmp_path)
    wanted = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    told = [await database.read(lambda c, name=name: pragma(c, name)) for name in wanted]  # type: ignore[misc]  # mypy cannot type a lambda's default
    await database.close()

    assert told == ["wal", 2, 1, 1]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The start is refused with variable, value and fix."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsInvalid) as refused:
        open_engine(None, tmp_path / "file" / "data")

    fault = refused.value.faults[0]
    assert (fault.key, fault.value) == ("TRISTAR_DATA_DIR", str(tmp_path / "file" / "data"))
    assert "Not a directory" in fault.problem


@pytest.mark.parametrize("url", ["mysql://me:hunter2@host/db", "hunter2", "postgresql:hunter2", ""])
def test_another_kind_of_url_is_refused_without_being_shown(url: str, tmp_path: Path) -> None:
    """It may hold a password."""
    with pytest.raises(SettingsInvalid) as refused:
        open_engine(url, tmp_path)

    assert "DATABASE_URL: does not begin with postgresql://" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_missing_driver_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL is an extra."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.delitem(sys.modules, "tristar.storage.postgres", raising=False)

    with pytest.raises(SettingsInvalid, match=r"pip install 'tristar\[postgres\]'"):
        open_engine("postgresql://host/db", tmp_path)


async def test_the_password_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    """A server that cannot be reached is reported without the secret of its URL."""
    database = open_engine("postgresql://me:hunter2@127.0.0.1:1/db", tmp_path)
    with pytest.raises(Exception, match="not available") as down:
        await database.ping()
    await database.close()
    told = f"{down.value!r} {getattr(down.value, 'reason', '')} {down.value.__cause__!r} {database!r}"

    assert "hunter2" not in told


def test_a_start_on_a_current_database_loads_neither_alembic_nor_the_orm(tmp_path: Path) -> None:
    """They would add a third of a second to every start."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from tristar.storage.opening import open_engine\n"
        "async def start():\n"
        "    database = open_engine(None, pathlib.Path(sys.argv[1]))\n"
        "    await database.start()\n"
        "    await database.close()\n"
        "asyncio.run(start())\n"
        "print(sorted({'alembic', 'sqlalchemy.orm', 'asyncpg', 'greenlet'} & set(sys.modules)))\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)

    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "[]\n"
