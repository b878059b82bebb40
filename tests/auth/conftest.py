"""Every test of the keys runs on SQLite and on PostgreSQL."""

import pytest
from tests.storage.fixtures import clock, database, make_database, place, postgres_server

from tristar.auth.keys import Keys
from tristar.clock import ManualClock
from tristar.storage.engine import Database

__all__ = ["clock", "database", "make_database", "place", "postgres_server"]


@pytest.fixture
def keys(database: Database, clock: ManualClock) -> Keys:
    """A key store without any key."""
    return Keys(database, clock)
