"""The memory store that goes with a database."""

from tristar.clock import Clock
from tristar.memory import postgres, sqlite
from tristar.memory.store import Store
from tristar.memory.vectors import Vectors
from tristar.storage.engine import Database


def open_store(database: Database, clock: Clock, vectors: Vectors | None = None) -> Store:
    """The shared memory in `database`; touches it at the first use. `vectors` may be known elsewhere, too."""
    vectors = vectors or Vectors(database, clock)
    if database.dialect == "postgresql":
        return postgres.store(database, vectors, clock)
    return sqlite.store(database, vectors, clock)
