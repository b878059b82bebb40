"""The log as a sink reads it: durable records from a number on, over closed and compressed segments."""

import io
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Final

import zstandard

from tristar.audit.segments import SegmentFile, line_event_id, line_seq, list_segments
from tristar.audit.sinks.receiver import Entry, gently
from tristar.errors import AuditCorrupt

_CHUNK_BYTES: Final = 128 * 1024
_DAMAGED: Final = "run `tristar audit verify` to find where and what"


class Spool:
    """Reads forward; used by one thread. Holds one file open and at most one chunk and one line of it.

    `durable` tells how many records are durable: nothing beyond is handed out, since it might yet be undone.
    """

    def __init__(self, directory: Path, durable: Callable[[], int]) -> None:
        self.directory = directory
        self._durable = durable
        self._tail: _Tail | None = None
        self.next = 0
        self.missed = 0
        """Records passed over because retention had deleted them before they were read."""

    def seek(self, seq: int) -> None:
        """Continue from this number."""
        self.close()
        self.next = seq

    def read(self, records: int, size_bytes: int) -> list[Entry]:
        """The next durable records: at most so many, and at most so many bytes unless one alone is longer.

        Empty where there is nothing new.

        Raises:
            AuditCorrupt: what is on disk is not what should come next.
            OSError: it could not be read; nothing was passed over.
        """
        found: list[Entry] = []
        durable = self._durable()
        for _ in gently(range(records)):
            if self.next >= durable:
                break
            entry = self._entry()
            if found and size_bytes < len(entry.line):
                break
            size_bytes -= len(entry.line)
            self._take(entry)
            found.append(entry)
        return found

    def close(self) -> None:
        """Let the file go; `read` opens it again."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None

    def _take(self, entry: Entry) -> None:
        if self._tail is not None:
            self._tail.take()
        self.next = entry.seq + 1

    def _entry(self) -> Entry:
        line = None if self._tail is None else self._tail.line()
        if line is None:
            self._open()
            line = None if self._tail is None else self._tail.line()
        if line is None:
            raise AuditCorrupt(f"record {self.next} is not in the log: {_DAMAGED}")
        seq, event_id = line_seq(line), line_event_id(line)
        if seq != self.next or event_id is None:
            raise AuditCorrupt(f"record {self.next} is not where it should be: {_DAMAGED}")
        return Entry(seq, event_id, line)

    def _open(self) -> None:
        self.close()
        segments = list_segments(self.directory)
        before = [segment for segment in segments if segment.first <= self.next]
        segment = before[-1] if before else None
        if segment is not None and not self._holds(segment):
            segment = None
        if segment is None:
            segment = next((each for each in segments if each.first > self.next), None)
            if segment is None:
                raise AuditCorrupt(f"record {self.next} is not in the log: {_DAMAGED}")
            self.missed += segment.first - self.next
            self.next = segment.first  # not beyond what is durable: that is never in a segment behind a gap
            self._tail = _Tail(segment)

    def _holds(self, segment: SegmentFile) -> bool:
        """Whether the segment reaches as far as the next record; it is then open there."""
        tail = _Tail(segment)
        if tail.skip(self.next - segment.first) and tail.line() is not None:
            self._tail = tail
            return True
        tail.close()
        return False


class _Tail:
    """One segment, read line by line as far as it goes; may be read on when it has grown."""

    def __init__(self, segment: SegmentFile) -> None:
        self._file = _open(segment)
        self._buffer = b""
        self._at = 0
        self._end = -1

    def line(self) -> bytes | None:
        """The next whole line without its newline, not yet taken; None where there is none now."""
        while self._end < 0:
            self._end = self._buffer.find(b"\n", self._at)
            if self._end < 0 and not self._more():
                return None
        return self._buffer[self._at : self._end]

    def take(self) -> None:
        """Go behind the line."""
        self._at, self._end = self._end + 1, -1

    def skip(self, lines: int) -> bool:
        """Pass over so many lines; false where there are fewer."""
        while lines:
            whole = self._buffer.count(b"\n", self._at)
            if whole <= lines and whole:
                self._at = self._buffer.rfind(b"\n") + 1
                lines -= whole
            elif whole:
                self.line()
                self.take()
                lines -= 1
            elif not self._more():
                return False
        return True

    def _more(self) -> bool:
        try:
            chunk = self._file.read(_CHUNK_BYTES)
        except zstandard.ZstdError as error:
            raise AuditCorrupt(f"a segment cannot be decompressed ({error}): {_DAMAGED}") from error
        self._buffer = self._buffer[self._at :] + (chunk or b"")
        self._at = 0
        return bool(chunk)

    def close(self) -> None:
        self._file.close()


def _open(segment: SegmentFile) -> IO[bytes]:
    if not segment.packed:
        return segment.path.open("rb", buffering=0)
    return io.BufferedReader(
        zstandard.ZstdDecompressor().stream_reader(segment.path.open("rb"), read_across_frames=True)
    )


def read_one(directory: Path, seq: int, durable: int) -> Entry | None:
    """This record; None where it is not in the log any more, or not yet. Raises as `Spool.read`."""
    if not 0 <= seq < durable:
        return None
    with closing(Spool(directory, lambda: durable)) as spool:
        spool.seek(seq)
        found = spool.read(1, 0)
    return found[0] if found and found[0].seq == seq else None
