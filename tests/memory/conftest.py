"""Every test of the store runs on SQLite and on PostgreSQL."""

from collections.abc import Callable

import pytest
from tests.storage.fixtures import MakeDatabase, clock, database, make_database, place, postgres_server

from tristar.clock import ManualClock
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.storage.engine import Database

__all__ = ["clock", "database", "make_database", "place", "postgres_server"]

MakeStore = Callable[[], Store]


@pytest.fixture
def store(database: Database, clock: ManualClock) -> Store:
    """An empty memory."""
    return open_store(database, clock)


@pytest.fixture
def make_store(database: Database, make_database: MakeDatabase, clock: ManualClock) -> MakeStore:
    """Opens the same memory once more at each call, as another worker or replica would."""
    return lambda: open_store(make_database(), clock)
