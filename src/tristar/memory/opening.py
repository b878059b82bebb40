"""The memory store that goes with a database."""

from tristar.clock import Clock
from tristar.memory import postgres, sqlite
from tristar.memory.store import Store
from tristar.storage.engine import Database


def open_store(database: Database, clock: Clock) -> Store:
    """The shared memory in `database`; touches it at the first use."""
    if database.dialect == "postgresql":
        return postgres.store(database, clock)
    return sqlite.store(database, clock)
