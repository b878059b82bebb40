"""The schema's way up and down."""

import asyncio
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from tests.storage.fixtures import MakeDatabase, Place

from tristar.errors import SettingsInvalid
from tristar.storage import revisions
from tristar.storage.engine import Database
from tristar.storage.schema import HEAD, metadata

STARTER = """
import asyncio, pathlib, sys
from tristar.storage.opening import open_engine

async def start():
    database = open_engine(sys.argv[1] or None, pathlib.Path(sys.argv[2]))
    await database.start()
    await database.close()

asyncio.run(start())
"""


def table_names(connection: Connection) -> set[str]:
    """Every table but Alembic's own and those inside the word index."""
    names = set(inspect(connection).get_table_names())
    return {name for name in names if name != "alembic_version" and not name.startswith("memory_words")}


def test_the_code_works_with_the_newest_migration() -> None:
    """`HEAD` spares a start the loading of Alembic; it must not fall behind."""
    assert ScriptDirectory(str(revisions.MIGRATIONS)).get_current_head() == HEAD


async def test_the_migrations_lead_to_the_schema_of_the_code(database: Database) -> None:
    """Columns, types, indexes and keys are the same, whether migrated or declared."""

    def differences(connection: Connection) -> list[object]:
        def ours(name: str | None, kind: str, _parents: object) -> bool:
            return not (kind == "table" and (name or "").startswith("memory_words"))

        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
        return list(compare_metadata(context, metadata))

    assert await database.read(differences) == []


async def test_down_to_nothing_and_up_again(database: Database) -> None:
    """Going down leaves no table behind, and going up once more works."""
    await database.write(lambda connection: revisions.downgrade(connection, "base"))
    below = await database.read(table_names)
    await database.write(revisions.upgrade)

    assert below == set()
    assert await database.read(table_names) == set(metadata.tables)
    assert await database.read(revisions.read) == HEAD


async def test_a_migration_that_fails_leaves_nothing_half_done(make_database: MakeDatabase) -> None:
    """All of an upgrade happens in one transaction."""
    database = make_database()
    await database.start()

    def fail_after_downgrade(connection: Connection) -> None:
        revisions.downgrade(connection, "base")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await database.write(fail_after_downgrade)

    assert await database.read(table_names) == set(metadata.tables)


def test_many_processes_start_at_once_on_an_empty_database(place: Place) -> None:
    """One of them makes the schema, and none fails."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, place.url or "", str(place.data_dir)], stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    ended = [(starter.communicate(timeout=60)[1].decode(), starter.returncode) for starter in starters]

    assert ended == [("", 0)] * 4


async def test_many_openings_in_one_process_start_at_once(make_database: MakeDatabase) -> None:
    """The same among replicas, without the time that a process takes to begin."""
    databases = [make_database() for _ in range(8)]
    await asyncio.gather(*(database.start() for database in databases))

    assert {await database.read(revisions.read) for database in databases} == {HEAD}


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    database: Database, make_database: MakeDatabase
) -> None:
    """Going back to an older tristar does not destroy what the newer one wrote."""
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")).close()
    )

    with pytest.raises(SettingsInvalid, match="revision 9999, made by a newer tristar"):
        await make_database().start()

    assert await database.read(revisions.read) == "9999"
