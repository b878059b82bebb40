"""Every test of a store runs on SQLite and on PostgreSQL."""

from tests.storage.fixtures import clock, database, make_database, place, postgres_server

__all__ = ["clock", "database", "make_database", "place", "postgres_server"]
