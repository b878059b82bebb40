"""The log as one table, `audit`: columns of closed segments, and the lines that have none yet, in order."""

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tristar.audit.columns import COLUMNS, VERIFY, Part, plan
from tristar.audit.parquet import connect, convert, files_of, lines_of, quoted
from tristar.audit.reader import EVERYTHING, Span, matching
from tristar.errors import AuditCorrupt

MEMORY_MB = 256
THREADS = 2


@dataclass(slots=True)
class Table:
    """An open table. `files` are the paths that reading it takes."""

    connection: duckdb.DuckDBPyConnection
    files: list[str]

    def lock(self) -> None:
        """From now on nothing but these files can be read, nothing written, and no setting changed."""
        allowed = ", ".join(map(quoted, self.files))
        self.connection.execute(f"SET allowed_paths = [{allowed}]")
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")


@contextlib.contextmanager
def opened(
    directory: Path,
    *,
    span: Span = EVERYTHING,
    needle: bytes | Sequence[bytes] = b"",
    memory_mb: int = MEMORY_MB,
    threads: int = THREADS,
) -> Iterator[Table]:
    """The log as it is at this moment, without a lock; one without records where there is no log.

    Of the active segment only lines within the span that contain the needle are taken. Rows come in the
    order of `seq` unless the question asks otherwise.

    Raises:
        AuditCorrupt: the active segment has lines that are no records.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(connect(threads=threads, memory_mb=memory_mb)))
        files: list[str] = []
        sources: list[str] = []
        for ready, group in itertools.groupby(plan(directory), lambda part: part.ready):
            parts = list(group)
            if ready:
                files += files_of(parts)
                sources.append(f"read_parquet([{', '.join(map(quoted, files_of(parts)))}])")
                continue
            for part in parts:
                if part.closed:
                    part.check()
                    files.append(str(part.segment.path))
                    sources.append(lines_of(files[-1], compression="zstd"))
                elif path := _active(connection, part, span, needle, stack):
                    files.append(path)
                    sources.append(f"read_parquet({quoted(path)})")
        connection.execute(f"CREATE VIEW audit AS {_union(sources)}")
        yield Table(connection, files)


def _union(sources: list[str]) -> str:
    names = ", ".join(COLUMNS)
    if sources:
        return " UNION ALL ".join(f"SELECT {names} FROM {source}" for source in sources)  # nosec B608 # noqa: S608 - paths of our own, quoted
    empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in COLUMNS.items())
    return f"SELECT {empty} WHERE false"


def _active(
    connection: duckdb.DuckDBPyConnection,
    part: Part,
    span: Span,
    needle: bytes | Sequence[bytes],
    stack: contextlib.ExitStack,
) -> str | None:
    """The lines of the active segment as Parquet in memory; None where there are none."""
    lines = os.memfd_create("lines", os.MFD_CLOEXEC)
    with os.fdopen(lines, "wb", buffering=1 << 20) as file:
        try:
            count = sum(map(file.write, matching(part.segment, span, needle)))
        except FileNotFoundError:
            return None  # closed, compressed and deleted under our hands
        if not count:
            return None
        file.flush()
        columns = os.memfd_create("columns", os.MFD_CLOEXEC)
        stack.callback(os.close, columns)
        try:
            convert(connection, _path(lines), _path(columns))
        except duckdb.Error as error:
            raise corrupt(error) from error
    return _path(columns)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def corrupt(error: Exception) -> AuditCorrupt:
    """What it means that the log's own lines cannot be read."""
    first = str(error).splitlines()[0]
    return AuditCorrupt(f"a line of the log is no record: {first:.300}. {VERIFY}")
