"""SQLite as an `Engine`: one file, write-ahead log, each transaction in a thread of its own.

A whole transaction costs one change of threads, where a driver that awaits each statement
pays for every one of them.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from tristar.errors import Fault, SettingsInvalid
from tristar.storage.engine import POOL_TIMEOUT_S, STATEMENT_TIMEOUT_S, Answer, Dialect, Work

FILE_NAME = "tristar.sqlite3"
READERS = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
"""More threads than cores take turns: each statement gives the interpreter's lock away, and waits for it."""

PRAGMAS = (
    # First, so that the statements after it wait for a sibling that is just starting.
    f"PRAGMA busy_timeout = {int(STATEMENT_TIMEOUT_S * 1000)}",
    "PRAGMA journal_mode = WAL",
    # In WAL mode only FULL syncs at every commit: what was acknowledged survives a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # Deleted content is overwritten, whatever the library was built with: erasure means it.
    "PRAGMA secure_delete = ON",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -16384",
    # Pages are read where the kernel keeps them, once for all processes: copies were a tenth of a search.
    # What a process then sees of the file counts as resident, and goes when memory is short.
    "PRAGMA mmap_size = 1073741824",
    "PRAGMA temp_store = MEMORY",
)

_WRITES = "tristar_writes"


class SqliteEngine:
    """One SQLite file; `READERS` transactions at a time, and one that writes."""

    dialect: Dialect = "sqlite"
    threaded = True

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            f"sqlite:///{path}",
            pool_size=READERS + 1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            hide_parameters=True,
            json_deserializer=msgspec.json.decode,
        )
        event.listen(self._engine, "connect", self._prepare)
        event.listen(self._engine, "begin", _begin)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-read")
        # One thread is this process's queue of writers, and a file lock the processes' queue: SQLite's own
        # lock is polled at growing intervals, so that one busy writer can keep the others out for seconds.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._opening = f"{path}-opening"
        self._turn = os.open(f"{path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def transact(self, work: Work[Answer], *, writes: bool) -> Answer:
        """See `Engine.transact`."""
        threads = self._writer if writes else self._readers
        return await asyncio.get_running_loop().run_in_executor(threads, self._transact, work, writes)

    async def look(self, work: Work[Answer]) -> Answer:
        """See `Engine.look`; a transaction costs nothing here."""
        return await self.transact(work, writes=False)

    async def purge(self) -> None:
        """See `Engine.purge`."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._fold)

    def _fold(self) -> None:
        """Fold the write-ahead log into the file, and leave nothing in it."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            with self._engine.connect() as connection:
                raw = connection.connection.driver_connection
                busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # type: ignore[union-attr]  # it is open
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)
        if busy:
            raise OSError("readers hold the write-ahead log")

    async def close(self) -> None:
        """See `Engine.close`; the write-ahead log is folded into the file by the last process."""
        self._readers.shutdown()
        self._writer.shutdown()
        self._engine.dispose()
        if self._turn >= 0:
            os.close(self._turn)
            self._turn = -1

    def _transact(self, work: Work[Answer], writes: bool) -> Answer:
        if not writes:
            return self._in_transaction(work, writes)
        fcntl.flock(self._turn, fcntl.LOCK_EX)  # first come, first served; ends with its holder's process
        try:
            return self._in_transaction(work, writes)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _prepare(self, connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Transactions are begun by `_begin`: the driver's own way leaves DDL and reads outside of them.
        connection.isolation_level = None
        # The change to WAL does not wait for a sibling that is just making it: SQLite refuses at once.
        opening = os.open(self._opening, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(opening, fcntl.LOCK_EX)
            cursor = connection.cursor()
            for pragma in PRAGMAS:
                cursor.execute(pragma)
            cursor.close()
        finally:
            os.close(opening)

    def _in_transaction(self, work: Work[Answer], writes: bool) -> Answer:
        with self._engine.connect() as connection:
            connection.execution_options(**{_WRITES: writes})
            with connection.begin():
                return work(connection)


def private_file(data_dir: Path) -> Path:
    """The database's file, made with mode 0600 in `data_dir`, which is made with 0700 if missing.

    SQLite gives the files beside it (the log and its index) the mode of this one.

    Raises:
        SettingsInvalid: the directory cannot hold it.
    """
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # An existing file is never opened here: closing it would drop the (POSIX) locks that SQLite holds on
        # it in this process, and another process's exit would then delete the log under our hands.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        problem = f"cannot hold the database ({error.strerror})"
        fix = "Name a directory that this user may write, or make it writable"
        raise SettingsInvalid([Fault("TRISTAR_DATA_DIR", str(data_dir), problem, fix)]) from error
    return path.absolute()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once on a busy database; one that
    # takes the lock at its start waits for it.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
