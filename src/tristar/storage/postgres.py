"""PostgreSQL as an `Engine`, through asyncpg. Loaded only where `DATABASE_URL` names one."""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it ships no annotations
import msgspec
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from tristar.storage.engine import (
    CONNECT_TIMEOUT_S,
    POOL_TIMEOUT_S,
    STATEMENT_TIMEOUT_S,
    Answer,
    Dialect,
    Work,
)

CONNECTIONS = 10
QUIET_S = 1.0
UNTRIED_S = 1.0
"""A connection that was in use so lately is not tried before it is used again, unless it was closed."""

VACUUM_TIMEOUT_S = 600.0

PURGED = (
    *("memory_entries", "memory_history", "memory_tags", "memory_votes", "memory_words"),
    *("memory_awaiting", "memory_embeddings", "memory_vectors"),
)

# How rare the searched words are decides the plan, and a plan made for any words is ten times
# slower; compiling a query that takes milliseconds takes longer than running it.
SESSION = "SET plan_cache_mode = force_custom_plan; SET jit = off; SET random_page_cost = 1.1"

_USED_AT_S = "tristar_used_at_s"


class PostgresEngine:
    """A pool of up to `CONNECTIONS` connections; one that rested is tried first: a restart is met well.

    The URL is understood as libpq does: `sslmode`, several hosts, a password file. A commit is
    durable as far as the server's own `synchronous_commit` says; its default is. For `QUIET_S` after
    a failed connect nothing tries again, so that a server which does not answer costs one caller a
    wait and not all of them.
    """

    dialect: Dialect = "postgresql"
    threaded = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._failure = ""
        self._quiet_until_s = float("-inf")
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            hide_parameters=True,
            json_deserializer=msgspec.json.decode,
        )
        self._looking = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(self._engine.sync_engine, "checkout", self._taken)
        event.listen(self._engine.sync_engine, "checkin", _given_back)

    async def transact(self, work: Work[Answer], *, writes: bool) -> Answer:  # noqa: ARG002 - rows are locked, not the whole
        """See `Engine.transact`."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def look(self, work: Work[Answer]) -> Answer:
        """See `Engine.look`."""
        async with self._looking.connect() as connection:
            return await connection.run_sync(work)

    async def purge(self) -> None:
        """See `Engine.purge`."""
        connection: Any = await self._connect()  # asyncpg's own, which has no types
        try:
            await connection.execute(f"VACUUM {', '.join(PURGED)}", timeout=VACUUM_TIMEOUT_S)
        finally:
            await connection.close()

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.dispose()

    def _taken(
        self, connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        """Let the pool connect anew where a connection is closed, or has rested and does not answer."""
        driver: Any = entry.driver_connection  # asyncpg's own, which has no types
        now_s = asyncio.get_running_loop().time()
        try:
            answers = not driver.is_closed() and (
                now_s - entry.info.get(_USED_AT_S, now_s) < UNTRIED_S
                or self._engine.dialect.do_ping(connection)
            )
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
        if not answers:
            raise InvalidatePoolError

    async def _connect(self) -> DBAPIConnection:
        loop = asyncio.get_running_loop()
        if loop.time() < self._quiet_until_s:
            raise ConnectionError(self._failure)
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=STATEMENT_TIMEOUT_S,
                server_settings={"application_name": "tristar"},
            )
            await connection.execute(SESSION)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            self._failure = str(error) or f"no connection within {CONNECT_TIMEOUT_S:g} s"
            self._quiet_until_s = loop.time() + QUIET_S
            raise ConnectionError(self._failure) from error
        opened: DBAPIConnection = connection
        return opened


def _given_back(_connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    entry.info[_USED_AT_S] = asyncio.get_running_loop().time()
