"""The log's lines on disk: `segments/<first>.jsonl` while written and until compressed, `.jsonl.zst`
afterwards.

`<first>` is the sequence number of the first line, in 20 digits, so that names sort in the log's order. A
segment ends where the next one begins. `manifests/<first>.json` describes a segment that has been
compressed; it is derived from the lines, unsigned, and never evidence.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
import zstandard

from tristar.audit.disk import Disk

SEGMENTS = "segments"
MANIFESTS = "manifests"
QUARANTINE = "quarantine"
PLAIN = ".jsonl"
PACKED = ".jsonl.zst"
_NAME = re.compile(r"(\d{20})(\.jsonl(?:\.zst)?)")
_CHUNK_BYTES = 1 << 20
_SEQ_KEY = b'"seq":'
_EVENT_ID = re.compile(rb'"seq":\d+,"event_id":"([^"\\]*)"')
_STAMP = slice(14, 41)
_STAMP_SHAPE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a closed segment holds. `frontier` is the tree's, after its last line."""

    first: int
    records: int
    plain_bytes: int
    sha256: str
    packed_bytes: int
    packed_sha256: str
    oldest: str
    newest: str
    root: str
    frontier: str
    deleted: bool = False

    @property
    def end(self) -> int:
        """The sequence number after the last line's."""
        return self.first + self.records

    def encode(self) -> bytes:
        """The file's content."""
        return msgspec.json.encode(self) + b"\n"


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """One segment as found: the number of its first line, and its file (the compressed one if that is
    all)."""

    first: int
    path: Path

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self.path.name.endswith(PACKED)

    def chunks(self) -> Iterator[bytes]:
        """Its uncompressed bytes, a megabyte or so at a time. Raises OSError, zstandard.ZstdError."""
        with self.path.open("rb") as file:
            if self.packed:
                yield from zstandard.ZstdDecompressor().read_to_iter(file, write_size=_CHUNK_BYTES)
                return
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def blocks(self) -> Iterator[list[bytes]]:
        """Its lines without their newlines, in lists of a megabyte or so.

        The last list's last element is what follows the last newline: empty in a whole segment.
        """
        rest = b""
        for chunk in self.chunks():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            yield lines
        yield [rest]

    def lines(self) -> Iterator[bytes]:
        """Its whole lines, without their newlines; what follows the last newline is left out."""
        held: list[bytes] = []
        for block in self.blocks():
            yield from held
            held = block
        yield from held[:-1]


def segment_path(directory: Path, first: int, suffix: str = PLAIN) -> Path:
    """Where the segment that begins with this number stands."""
    return directory / SEGMENTS / f"{first:020d}{suffix}"


def manifest_path(directory: Path, first: int) -> Path:
    """Where that segment's manifest stands."""
    return directory / MANIFESTS / f"{first:020d}.json"


def list_segments(directory: Path) -> list[SegmentFile]:
    """The segments in order. Where both forms exist the plain one counts: compression was cut short."""
    found: dict[int, SegmentFile] = {}
    for path in sorted((directory / SEGMENTS).iterdir(), reverse=True):
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = SegmentFile(int(match[1]), path)
    return [found[first] for first in sorted(found)]


def list_manifests(directory: Path) -> dict[int, Manifest]:
    """The manifests that can be read, by first number."""
    found = {}
    for path in (directory / MANIFESTS).glob("*.json"):
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (msgspec.DecodeError, OSError):
            continue  # derived data: whoever needs it works from the lines instead
        if path.name == f"{manifest.first:020d}.json":
            found[manifest.first] = manifest
    return found


def line_seq(line: bytes) -> int | None:
    """The sequence number in a line; None where there is none to be read.

    The first `"seq":` is the record's own: inside a JSON string the quotes would be escaped.
    """
    start = line.find(_SEQ_KEY) + len(_SEQ_KEY)
    end = line.find(b",", start)
    digits = line[start:end]
    if start < len(_SEQ_KEY) or not digits.isdigit():
        return None
    return int(digits)


def line_event_id(line: bytes) -> str | None:
    """The event id in a line, which follows its sequence number; None where there is none to be read."""
    match = _EVENT_ID.search(line)
    return match[1].decode(errors="replace") if match else None


def line_stamp(line: bytes) -> str:
    """The timestamp with which every line begins, or "" where there is none to be read."""
    stamp = line[_STAMP]
    return stamp.decode() if _STAMP_SHAPE.fullmatch(stamp) else ""


def is_record(line: bytes, seq: int) -> bool:
    """Whether these bytes are a whole record with that number."""
    if line_seq(line) != seq:
        return False
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


class ActiveSegment:
    """The segment being written; used by one thread.

    `durable_bytes` and `records` speak of what was synced. After a failed sync the object is not used again.
    """

    def __init__(self, disk: Disk, path: Path, descriptor: int, first: int, day: str) -> None:
        self._disk = disk
        self.path = path
        self._descriptor = descriptor
        self.first = first
        self.day = day
        self.durable_bytes = 0
        self.records = 0
        self.suspect = False

    @classmethod
    def create(cls, disk: Disk, directory: Path, first: int, day: str) -> Self:
        """Make a new, empty segment; its name is durable once this returns."""
        path = segment_path(directory, first)
        try:
            descriptor = disk.create(path)
        except FileExistsError:
            disk.unlink(path)  # nothing before `first` is in it, and nothing from `first` on is committed
            descriptor = disk.create(path)
        try:
            disk.sync_directory(path.parent)
        except OSError:
            disk.close(descriptor)
            disk.unlink(path)
            raise
        return cls(disk, path, descriptor, first, day)

    @classmethod
    def resume(cls, disk: Disk, path: Path, first: int, day: str, *, size_bytes: int, records: int) -> Self:
        """Continue a recovered segment at its end."""
        segment = cls(disk, path, disk.open(path), first, day)
        segment.durable_bytes, segment.records = size_bytes, records
        return segment

    def write(self, data: bytes) -> None:
        """Make these whole lines durable behind the durable ones.

        OSError: `rewind` before the next write; `suspect`: no further write at all, a sync failed.
        """
        self._disk.write_whole(self._descriptor, data, self.durable_bytes)
        self.suspect = True
        self._disk.fdatasync(self._descriptor)
        self.suspect = False

    def sync(self) -> None:
        """Make durable what an earlier process wrote."""
        self._disk.fdatasync(self._descriptor)

    def advance(self, size_bytes: int, records: int) -> None:
        """Count what `write` made durable, once a checkpoint covers it."""
        self.durable_bytes += size_bytes
        self.records += records

    def rewind(self) -> None:
        """Cut off what follows the durable lines, durably; OSError: it may still be there."""
        self._disk.truncate(self._descriptor, self.durable_bytes)
        self._disk.fdatasync(self._descriptor)

    def cut(self) -> None:
        """As `rewind`, through a descriptor of its own; an empty segment's file is removed."""
        if not self.records:
            self._disk.unlink(self.path)
            return
        descriptor = self._disk.open(self.path)
        try:
            self._disk.truncate(descriptor, self.durable_bytes)
            self._disk.fdatasync(descriptor)
        finally:
            self._disk.close(descriptor)

    def close(self) -> None:
        """Release the descriptor."""
        self._disk.close(self._descriptor)
