"""Units of work: whole or not at all, whatever happens to their caller."""

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from tests.storage.fixtures import MakeDatabase
from tests.storage.postgres import new_postgres

from tristar.errors import Unavailable
from tristar.storage.engine import Database, DatabaseDown
from tristar.storage.opening import open_engine
from tristar.storage.schema import key_revision


def numbers(connection: Connection) -> list[int]:
    """The ids in a table that any test may use."""
    return list(connection.execute(select(key_revision.c.id).order_by(key_revision.c.id)).scalars())


def put(connection: Connection, number: int) -> None:
    """Add an id to it."""
    connection.execute(insert(key_revision).values(id=number, value=0))


async def test_what_is_written_is_read_by_everybody(database: Database, make_database: MakeDatabase) -> None:
    """Once `write` returns, another process sees it."""
    await database.write(lambda connection: put(connection, 2))

    assert await make_database().read(numbers) == [1, 2]


async def test_a_look_sees_what_is_written(database: Database) -> None:
    """Of this process at once; several statements in turn, and several looks at a time."""

    def work(connection: Connection) -> list[list[int]]:
        return [numbers(connection), numbers(connection)]

    await database.write(lambda connection: put(connection, 2))

    for found in await asyncio.gather(*(database.look(work) for _ in range(20))):
        assert found == [[1, 2], [1, 2]]


async def test_a_unit_of_work_that_raises_writes_nothing(database: Database) -> None:
    """Its exception travels on as it is."""

    def work(connection: Connection) -> None:
        put(connection, 2)
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        await database.write(work)

    assert await database.read(numbers) == [1]


async def test_a_unit_of_work_outlives_its_cancelled_caller(database: Database) -> None:
    """A client that leaves cannot leave a transaction half done, nor a connection lost."""
    for number in range(2, 22):
        caller = asyncio.create_task(database.write(lambda connection, n=number: put(connection, n)))  # type: ignore[misc]  # mypy cannot type a lambda's default
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    await database.write(lambda connection: put(connection, 22))
    while database._running:  # the callers are gone; their work is not
        await asyncio.wait(database._running)

    assert await database.read(numbers) == list(range(1, 23))


async def test_closing_waits_for_the_work_that_has_begun(make_database: MakeDatabase) -> None:
    """What was handed in before is written."""
    database = make_database()
    await database.start()
    caller = asyncio.create_task(database.write(lambda connection: put(connection, 2)))
    await asyncio.sleep(0)
    await database.close()

    assert caller.done()
    assert await make_database().read(numbers) == [1, 2]


async def test_writers_queue_up_rather_than_fail(make_database: MakeDatabase) -> None:
    """Thirty writers in three processes' place: none is turned away, and none is lost."""
    databases = [make_database() for _ in range(3)]

    async def count_up(database: Database) -> None:
        await database.write(
            lambda connection: connection.execute(text("UPDATE key_revision SET value = value + 1")).close()
        )

    await asyncio.gather(*(count_up(database) for database in databases for _ in range(10)))

    assert await databases[0].read(lambda c: c.execute(select(key_revision.c.value)).scalar_one()) == 30


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """While one transaction writes, others read what was there before it."""
    if database.dialect == "postgresql":
        reading = await asyncio.gather(
            database.write(lambda connection: connection.execute(text("SELECT pg_sleep(0.2)")).close()),
            database.read(numbers),
        )
        assert reading[1] == [1]
        return
    written, go_on = threading.Event(), threading.Event()

    def work(connection: Connection) -> None:
        put(connection, 2)
        written.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(database.write(work))
    await asyncio.to_thread(written.wait, 10)
    seen = await database.read(numbers)
    go_on.set()
    await writing

    assert seen == [1]


async def test_a_broken_rule_is_told_from_a_broken_database(database: Database) -> None:
    """An integrity error is the caller's to handle."""
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: put(connection, 1))

    assert await database.read(numbers) == [1]


async def test_a_defect_is_not_called_an_outage(database: Database) -> None:
    """A statement that cannot be right must not look like a database that is down."""
    if database.dialect == "sqlite":
        # SQLite gives wrong SQL and a full disk the same class of error.
        await database.ping()
        return
    with pytest.raises(ProgrammingError):
        await database.read(
            lambda connection: connection.execute(text("SELECT nonsense FROM nowhere")).close()
        )


async def test_a_server_that_is_down_is_picked_up_when_it_comes(tmp_path: Path) -> None:
    """Down at the start, then up, then restarted: no object has to be made anew."""
    with new_postgres() as server:
        database = open_engine(server.url_of(), tmp_path)
        with pytest.raises(DatabaseDown) as down:
            await database.start()
        server.start()
        await until_up(database)
        await database.write(lambda connection: put(connection, 2))
        server.stop("immediate")
        with pytest.raises(Unavailable):
            await database.read(numbers)
        server.start()
        await until_up(database)
        found = await database.read(numbers)
        await database.close()

    assert found == [1, 2]
    assert "connect" in down.value.reason.lower()
    assert str(server.port) not in str(down.value)
    assert not server.pid_file.exists()


async def until_up(database: Database) -> None:
    """Wait, as a poll would, until the database answers."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await database.ping()
            except DatabaseDown:
                await asyncio.sleep(0.1)


async def test_a_server_that_never_answers_costs_one_short_wait(tmp_path: Path) -> None:
    """A port that takes connections and says nothing: one caller waits, those after it fail at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = open_engine(f"postgresql://tristar@127.0.0.1:{port}/postgres", tmp_path)
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(DatabaseDown):
                await database.ping()
        took_s = time.monotonic() - began
        await database.close()

    assert took_s < 4
