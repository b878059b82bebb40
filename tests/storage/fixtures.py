"""Databases for tests: a new and empty one each time, on both engines."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it ships no annotations
import pytest
from tests.storage.postgres import PostgresServer, postgres_server

from tristar.clock import ManualClock
from tristar.storage.engine import Database
from tristar.storage.opening import open_engine

__all__ = ["clock", "database", "empty_postgres", "make_database", "place", "postgres_server"]


@dataclass(frozen=True)
class Place:
    """Where a database is, as `open_engine` takes it."""

    url: str | None
    data_dir: Path


MakeDatabase = Callable[[], Database]


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where an empty database is; the test runs once per engine."""
    if request.param == "sqlite":
        return Place(None, tmp_path / "data")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    await _empty(server.url_of())
    return Place(server.url_of(), tmp_path / "data")


@pytest.fixture
async def empty_postgres(postgres_server: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    await _empty(postgres_server.url_of())
    return postgres_server.url_of()


async def _empty(url: str) -> None:
    # Ten times as fast as another database for each test.
    connection = await asyncpg.connect(url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid();"
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
    )
    await connection.close()


@pytest.fixture
async def make_database(place: Place) -> AsyncIterator[MakeDatabase]:
    """Opens the same database once more at each call, as another process or replica would."""
    opened: list[Database] = []

    def make() -> Database:
        opened.append(open_engine(place.url, place.data_dir))
        return opened[-1]

    yield make
    for database in opened:
        await database.close()


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    """An empty database with its schema."""
    made = make_database()
    await made.start()
    return made
