"""Transactions on a database, as whole units of work.

A unit of work is a plain function of a SQLAlchemy `Connection`; the database runs it in one
transaction, out of reach of its caller's cancellation, and translates what may go wrong.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Literal, Protocol, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tristar.errors import Unavailable
from tristar.storage import revisions
from tristar.storage.schema import HEAD

Answer = TypeVar("Answer")
Work = Callable[[Connection], Answer]
Dialect = Literal["sqlite", "postgresql"]

CONNECT_TIMEOUT_S = 2.0
STATEMENT_TIMEOUT_S = 10.0
POOL_TIMEOUT_S = 5.0
RETRY_AFTER_S = 2.0


class DatabaseDown(Unavailable):
    """The database cannot be reached, or is too slow, too busy or full.

    `reason` is for the operator: readiness and the log show it, an answer to a client does not.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The database is not available; retry shortly.", retry_after_s=RETRY_AFTER_S)
        self.reason = reason


class Engine(Protocol):
    """What runs transactions on one kind of database, each in bounded time."""

    @property
    def dialect(self) -> Dialect:
        """Which SQL it speaks."""
        ...

    @property
    def threaded(self) -> bool:
        """Whether units of work run in threads, where they may compute as well; else in the event loop's."""
        ...

    async def transact(self, work: Work[Answer], *, writes: bool) -> Answer:
        """Run `work` in one transaction; what it wrote is durable on return, undone if it raised.

        With `writes`, transactions that write queue up here rather than fail on each other.
        Not to be cancelled. Raises the driver's own errors.
        """
        ...

    async def look(self, work: Work[Answer]) -> Answer:
        """See `Database.look`. Raises the driver's own errors."""
        ...

    async def purge(self) -> None:
        """See `Database.purge`. Raises the driver's own errors."""
        ...

    async def close(self) -> None:
        """Close every connection; no transaction is running."""
        ...


class Database:
    """One database, reached from one event loop.

    `read` and `write` bring the schema up to date before their first transaction, so that a
    database which is down at start is picked up when it comes back. A unit of work that has
    begun is ended (committed or rolled back) even when its caller is cancelled.
    """

    def __init__(self, engine: Engine) -> None:
        self.dialect: Dialect = engine.dialect
        self.threaded = engine.threaded
        self._engine = engine
        self._current = False
        self._starting = asyncio.Lock()
        self._running: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Create the schema or bring it up to date; safe when many processes start at once.

        Raises:
            SettingsInvalid: the database was made by a newer version; nothing was changed.
            DatabaseDown: it cannot be reached; call again, or let the first unit of work do so.
        """
        async with self._starting:
            if self._current:
                return
            if await self._run(self._engine.transact(revisions.read, writes=False)) != HEAD:
                await self._run(self._engine.transact(revisions.upgrade, writes=True))
            self._current = True

    async def revision(self) -> str | None:
        """The schema's revision as it is now, None of an empty database; changes nothing.

        Raises:
            DatabaseDown: it cannot be reached.
        """
        return await self._run(self._engine.transact(revisions.read, writes=False))

    async def read(self, work: Work[Answer]) -> Answer:
        """Run `work` in one transaction that writes nothing.

        Raises:
            DatabaseDown: it cannot be reached, or is too slow or too busy.
        """
        if not self._current:
            await self.start()
        return await self._run(self._engine.transact(work, writes=False))

    async def look(self, work: Work[Answer]) -> Answer:
        """As `read`, but each statement sees what was committed before it, and rows come all at once.

        It spares two messages to a database that is elsewhere. Raises as `read`.
        """
        if not self._current:
            await self.start()
        return await self._run(self._engine.look(work))

    async def write(self, work: Work[Answer]) -> Answer:
        """Run `work` in one transaction; once this returns, what it wrote survives a power cut.

        An exception from `work` rolls everything back and travels on.

        Raises:
            DatabaseDown: it cannot be reached, or is too slow, too busy or full. Nothing was written,
                unless the connection broke during the commit itself.
        """
        if not self._current:
            await self.start()
        return await self._run(self._engine.transact(work, writes=True))

    async def ping(self) -> None:
        """Return if a transaction is possible now; for readiness.

        Raises:
            DatabaseDown: it is not; `reason` says why.
        """
        await self.read(lambda connection: connection.execute(text("SELECT 1")).close())

    async def purge(self) -> None:
        """Let nothing stay in the database's live files of rows that were deleted before.

        SQLite overwrites them at once, and here its log as well. PostgreSQL is told to clear its pages;
        what its own log (WAL) and its backups hold is its administrator's.

        Raises:
            DatabaseDown: it may still be there; call again.
        """
        if not self._current:
            await self.start()
        try:
            await self._engine.purge()
        except (DBAPIError, OSError) as error:
            raise DatabaseDown(_reason(error)) from error

    async def close(self) -> None:
        """Let units of work that have begun end, then close every connection."""
        while self._running:
            await asyncio.wait(self._running)
        await self._engine.close()

    async def _run(self, working: Coroutine[object, object, Answer]) -> Answer:
        task = asyncio.get_running_loop().create_task(_translated(working))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Marks the exception as seen: a caller that was cancelled is not there to take it.
            task.exception()


async def _translated(working: Coroutine[object, object, Answer]) -> Answer:
    try:
        return await working
    except (IntegrityError, ProgrammingError):
        # Not the database's fault but this program's, and to be seen as such.
        raise
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        raise DatabaseDown(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What the driver says, without the statement and its values."""
    if isinstance(error, PoolTimeoutError):
        return "all connections are in use"
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    lines = str(cause).strip().splitlines()
    return lines[0][:200] if lines else type(cause).__name__
