"""Lines into columns: Parquet files made of the log by DuckDB. Imported only where columns are needed."""

import contextlib
import io
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO

import duckdb

from tristar.audit.columns import COLUMNS, FOLDER, VERIFY, Part, outdated, plan
from tristar.errors import AuditCorrupt

MEMORY_MB = 256
GROUP_ROWS = 61_440
LINE_BYTES = 1 << 20
_ABANDONED_S = 3600.0


def connect(*, threads: int, memory_mb: int = MEMORY_MB) -> duckdb.DuckDBPyConnection:
    """A database of its own, in memory, which spills nothing to disk and loads no extension."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": threads,
            "memory_limit": f"{memory_mb}MiB",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def lines_of(path: str, *, compression: str = "none") -> str:
    """SQL that reads a file of the log's lines as columns."""
    types = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in COLUMNS.items())
    return (
        f"read_json({quoted(path)}, format = 'newline_delimited', records = true, "
        f"compression = '{compression}', maximum_object_size = {LINE_BYTES}, columns = {{{types}}})"
    )


def convert(
    connection: duckdb.DuckDBPyConnection, source: str, target: str, *, compression: str = "none"
) -> None:
    """Write lines as Parquet; both are paths, and `target` is overwritten in place.

    Ids are written with a dictionary whatever their number, since only columns that have one get the Bloom
    filters by which a question for one id leaves out nearly every row group.

    Raises:
        duckdb.Error: a line is no record, or the disk refused.
    """
    connection.execute(
        f"COPY (FROM {lines_of(source, compression=compression)}) TO {quoted(target)} (FORMAT parquet, "
        f"COMPRESSION zstd, ROW_GROUP_SIZE {GROUP_ROWS}, DICTIONARY_SIZE_LIMIT {GROUP_ROWS}, "
        "BLOOM_FILTER_FALSE_POSITIVE_RATIO 0.01, USE_TMP_FILE false)"
    )


def build(directory: Path, progress: Callable[[int, int], None] = lambda _done, _total: None) -> int:
    """Make the columns that are missing or stale, and remove those of segments that are gone.

    Returns how many were made. May run in several processes at once. `progress` is told how many are done
    and how many there are to do.

    Raises:
        AuditCorrupt: lines of a closed segment are no records; the others' columns are made.
        OSError: the disk refused.
    """
    missing = [part for part in plan(directory) if part.columns is not None and not part.ready]
    damaged = []
    for done, part in enumerate(missing):
        progress(done, len(missing))
        try:
            _make(part)
        except FileNotFoundError:
            continue  # retention took the segment
        except AuditCorrupt as error:
            damaged.append(str(error))
        except duckdb.Error as error:
            damaged.append(f"{part.segment.path}: {str(error).splitlines()[0]:.300}. {VERIFY}")
    progress(len(missing), len(missing))
    _tidy(directory)
    if damaged:
        raise AuditCorrupt("; ".join(damaged))
    return len(missing)


def quoted(text: str) -> str:
    """The text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _make(part: Part) -> None:
    assert part.columns is not None  # noqa: S101 - asked by the caller
    path = part.columns
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        part.check()
        with contextlib.closing(connect(threads=1, memory_mb=2 * MEMORY_MB)) as connection:
            convert(connection, str(part.segment.path), str(temporary), compression="zstd")
            _compare(connection, part, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _compare(connection: duckdb.DuckDBPyConnection, part: Part, made: Path) -> None:
    found = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(made)]).fetchone()
    if part.manifest is not None and found != (part.manifest.records,):
        raise AuditCorrupt(f"{part.segment.path}: other lines than its manifest says. {VERIFY}")


def _tidy(directory: Path) -> None:
    for path in outdated(directory):
        path.unlink(missing_ok=True)
    for path in (directory / FOLDER).glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def files_of(parts: Sequence[Part]) -> list[str]:
    """The paths of the columns of these parts."""
    return [str(part.columns) for part in parts if part.columns is not None]


def stream(chunks: Iterable[bytes], out: BinaryIO) -> None:
    """Write lines, which come in chunks that end with a newline, as Parquet.

    Raises:
        AuditCorrupt: a line is no record.
        BrokenPipeError: nobody reads.
    """
    source, feed = os.pipe()
    made, drain = os.pipe()  # DuckDB writes to what has a path; standard output may be a socket
    feeder = _Mover(chunks, os.fdopen(feed, "wb", buffering=0))
    drainer = _Mover(_pieces(made), out)
    try:
        with contextlib.closing(connect(threads=1)) as connection:
            convert(connection, f"/proc/self/fd/{source}", f"/proc/self/fd/{drain}")
    except duckdb.Error as error:
        if feeder.error is None and drainer.error is None:
            raise AuditCorrupt(f"{str(error).splitlines()[0]:.300}. {VERIFY}") from error
    finally:
        os.close(source)
        os.close(drain)
        feeder.join()
        drainer.join()
    for mover in (drainer, feeder):
        if mover.error is not None:
            raise mover.error
    out.flush()


def _pieces(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while piece := pipe.read(1 << 18):
            yield piece


class _Mover(threading.Thread):
    """Writes pieces to a file, and closes it if it is a pipe; `error` is what kept it from that."""

    def __init__(self, pieces: Iterable[bytes], target: IO[bytes]) -> None:
        super().__init__(name="audit-mover", daemon=True)
        self._pieces = pieces
        self._target = target
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            for piece in self._pieces:
                self._target.write(piece)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self.error = error
        finally:
            if isinstance(self._target, io.FileIO):
                self._target.close()
