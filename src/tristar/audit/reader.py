"""The log, read line by line in the order of its sequence, also while it is being written.

A reader holds no lock and changes nothing. It sees what stood in the files when it began: whole lines
only, so a last line without its newline is left alone, and nothing that is appended meanwhile. A segment
that is closed and compressed under its hands is read on under its new name; one that retention removes
before its turn is gone, as retention meant it to be.
"""

import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec
import zstandard

from tristar.errors import AuditCorrupt

CHUNK_BYTES: Final = 1 << 20
_SEGMENT = re.compile(r"(\d+)\.jsonl(\.zst)?")
_TIMESTAMP = slice(14, 41)
"""Where every line has its timestamp: `{"timestamp":"` is 14 bytes, the timestamp 27."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time as the bytes of two timestamps, both inclusive; None is without limit."""

    since: bytes | None = None
    until: bytes | None = None

    @property
    def everything(self) -> bool:
        """Whether no record lies outside."""
        return self.since is None and self.until is None

    def holds(self, line: bytes) -> bool:
        """Whether the record of this line was stamped within the range."""
        stamp = line[_TIMESTAMP]
        return (self.since is None or stamp >= self.since) and (self.until is None or stamp <= self.until)


EVERYTHING: Final = Span()


class Position(msgspec.Struct):
    """What tells two records apart: place, time and id."""

    seq: int
    timestamp: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the log as it was found: `visible_bytes` of an active one, all of a closed one (None)."""

    first_seq: int
    path: Path
    visible_bytes: int | None

    def chunks(self) -> Iterator[bytes]:
        """The segment's whole lines in pieces of about a mebibyte, each piece ending with a newline.

        Raises:
            AuditCorrupt: the segment is closed, and its file is damaged or ends within a line.
        """
        rest = b""
        for piece in self._pieces():
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
            rest = piece[end:] if end else rest + piece
        if rest and self.visible_bytes is None:
            raise AuditCorrupt(self._damaged("ends within a line"))

    def _pieces(self) -> Iterator[bytes]:
        left = self.visible_bytes
        with closing(self._open()) as file:
            try:
                while piece := file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)):
                    left = None if left is None else left - len(piece)
                    yield piece
            except zstandard.ZstdError as error:
                raise AuditCorrupt(self._damaged(str(error))) from error

    def _damaged(self, how: str) -> str:
        return f"{self.path} is damaged: {how}. Run `tristar audit verify`, and keep the file as it is"

    def ending(self, count: int) -> list[bytes]:
        """The last `count` lines; of a segment that is not compressed, read from its end."""
        if self.visible_bytes is None:
            return list(deque(matching(self), maxlen=count))
        window = max(CHUNK_BYTES, count * 1024)
        while True:
            start = max(0, self.visible_bytes - window)
            found = self._from(start)
            if found is None:
                return list(deque(matching(self), maxlen=count))
            if start == 0 or len(found) > count:
                return found[-count:]
            window *= 4

    def _from(self, start: int) -> list[bytes] | None:
        """The lines from `start` on, the first of them cut unless that is 0; None if compressed meanwhile."""
        with closing(self._open()) as file:
            if not file.seekable():
                return None
            file.seek(start)
            data = file.read((self.visible_bytes or 0) - start)
        return b"".join(_before_padding(iter([data[: data.rfind(b"\n") + 1]]))).splitlines(keepends=True)

    def size_bytes(self) -> int:
        """What the file takes on disk; 0 if retention removed it."""
        if self.visible_bytes is not None:
            return self.visible_bytes
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _open(self) -> IO[bytes]:
        """The file under the name it has now, or an empty one if retention removed it."""
        bare = self.path.with_name(self.path.name.removesuffix(".zst"))
        for path in (self.path, bare, bare.with_name(bare.name + ".zst")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            if path.suffix != ".zst":
                return file
            return io.BufferedReader(
                zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            )
        return io.BytesIO()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The log at one moment: its segments in order. Taken without opening any of them."""

    segments: tuple[Segment, ...]

    @classmethod
    def take(cls, directory: Path) -> "Snapshot":
        """The log in this directory now; empty if there is none. Raises OSError."""
        found: dict[int, Segment] = {}
        folder = directory / "segments"
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _SEGMENT.fullmatch(path.name)
            if match and (match[2] is None or int(match[1]) not in found):
                found[int(match[1])] = _segment(int(match[1]), path)
        return cls(tuple(found[first_seq] for first_seq in sorted(found)))

    def chunks(self) -> Iterator[bytes]:
        """Every whole line, in order, in pieces of about a mebibyte that end with a newline."""
        for segment in self.segments:
            yield from _before_padding(segment.chunks())

    def lines(self, span: Span = EVERYTHING, needle: bytes | Sequence[bytes] = b"") -> Iterator[bytes]:
        """The lines within a range of time that contain the needle, in order, newlines included.

        Of several needles one is enough.
        """
        for segment in self.segments:
            yield from matching(segment, span, needle)

    def last(self, count: int) -> list[bytes]:
        """The newest lines, oldest of them first; reads only the segments that hold them."""
        newest: deque[bytes] = deque()
        for segment in reversed(self.segments):
            newest.extendleft(reversed(segment.ending(count - len(newest))))
            if len(newest) >= count:
                break
        return list(newest)


def matching(
    segment: Segment, span: Span = EVERYTHING, needle: bytes | Sequence[bytes] = b""
) -> Iterator[bytes]:
    """The lines of one segment within a range of time that contain a needle, newlines included."""
    needles = (needle,) if isinstance(needle, bytes) else tuple(needle)
    for chunk in _before_padding(segment.chunks()):
        present = [each for each in needles if each in chunk]
        if not present:
            continue
        for line in chunk.splitlines(keepends=True):
            if any(each in line for each in present) and (span.everything or span.holds(line)):
                yield line


def position(line: bytes) -> Position:
    """Place, time and id of the record in a line.

    Raises:
        AuditCorrupt: the line is no record.
    """
    try:
        return msgspec.json.decode(line, type=Position)
    except msgspec.MsgspecError as error:
        raise AuditCorrupt(_no_record(line)) from error


def decode(line: bytes) -> dict[str, object]:
    """The record in a line, its fields in their order.

    Raises:
        AuditCorrupt: the line is no record.
    """
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise AuditCorrupt(_no_record(line)) from error


def _no_record(line: bytes) -> str:
    return f"a line of the log is no record: {line[:80]!r}. Run `tristar audit verify` to find where and what"


def _segment(first_seq: int, path: Path) -> Segment:
    if path.suffix == ".zst":
        return Segment(first_seq, path, None)
    try:
        return Segment(first_seq, path, path.stat().st_size)
    except FileNotFoundError:  # closed and compressed since the directory was listed
        return Segment(first_seq, path.with_name(path.name + ".zst"), None)


def _before_padding(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks up to the first zero byte: space that the writer reserved and has not filled."""
    for chunk in chunks:
        end = chunk.find(b"\0")
        if end < 0:
            yield chunk
            continue
        if end := chunk.rfind(b"\n", 0, end) + 1:
            yield chunk[:end]
        return
