"""Closing a segment for good: compressed, checked, described."""

import contextlib
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import zstandard

from tristar.audit.disk import Disk
from tristar.audit.recovery import Closed
from tristar.audit.segments import PACKED, Manifest, SegmentFile, line_stamp, manifest_path, segment_path
from tristar.errors import AuditCorrupt


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


@dataclass(slots=True)
class _Measure:
    """What is learnt of a segment while its bytes pass."""

    digest: _Digest = field(default_factory=hashlib.sha256)
    size_bytes: int = 0
    records: int = 0
    oldest: str = ""
    newest: str = ""
    _rest: bytes = b""

    def take(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.size_bytes += len(chunk)
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        self.records += len(lines)
        found = [stamp for stamp in map(line_stamp, lines) if stamp]
        if found:
            self.oldest = min(self.oldest or found[0], *found)
            self.newest = max(self.newest, *found)


def archive(disk: Disk, directory: Path, closed: Closed, level: int) -> Manifest:
    """Compress a closed segment, check the copy, write its manifest, then remove the plain file.

    Whatever is interrupted can be called again. The plain file goes last.

    Raises:
        AuditCorrupt: the file does not hold the records that were committed; nothing was removed.
        OSError: the disk failed; nothing was removed.
    """
    plain = segment_path(directory, closed.first)
    packed = segment_path(directory, closed.first, PACKED)
    temporary = packed.with_name(f".{packed.name}.tmp")
    disk.unlink(temporary)
    try:
        measure = _compress(disk, plain, temporary, level)
        _check(closed, measure, plain)
        packed_sha256 = _verify_copy(temporary, measure)
        manifest = _manifest(closed, measure, temporary.stat().st_size, packed_sha256)
        disk.replace(temporary, packed)
    finally:
        with contextlib.suppress(OSError):
            disk.unlink(temporary)
    disk.sync_directory(packed.parent)
    disk.install(manifest_path(directory, closed.first), manifest.encode())
    disk.unlink(plain)
    return manifest


def _compress(disk: Disk, plain: Path, temporary: Path, level: int) -> _Measure:
    measure = _Measure()
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj(
        size=plain.stat().st_size
    )
    descriptor, offset = disk.create(temporary), 0
    try:
        for chunk in SegmentFile(0, plain).chunks():
            measure.take(chunk)
            offset += _append(disk, descriptor, compressor.compress(chunk), offset)
        _append(disk, descriptor, compressor.flush(), offset)
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    return measure


def _append(disk: Disk, descriptor: int, data: bytes, offset: int) -> int:
    if data:
        disk.write_whole(descriptor, data, offset)
    return len(data)


def _check(closed: Closed, measure: _Measure, plain: Path) -> None:
    if measure.records != closed.frontier.size - closed.first:
        raise AuditCorrupt(
            f"{plain}: {measure.records} records where {closed.frontier.size - closed.first} were written"
        )


def _verify_copy(temporary: Path, measure: _Measure) -> str:
    """Read the compressed file back; returns its own SHA-256."""
    outer, inner = hashlib.sha256(), hashlib.sha256()
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    with temporary.open("rb") as file:
        while chunk := file.read(1 << 20):
            outer.update(chunk)
            inner.update(decompressor.decompress(chunk))
    if inner.hexdigest() != measure.digest.hexdigest():
        raise OSError(f"{temporary}: the compressed copy reads back differently")
    return outer.hexdigest()


def _manifest(closed: Closed, measure: _Measure, packed_bytes: int, packed_sha256: str) -> Manifest:
    return Manifest(
        first=closed.first,
        records=measure.records,
        plain_bytes=measure.size_bytes,
        sha256=measure.digest.hexdigest(),
        packed_bytes=packed_bytes,
        packed_sha256=packed_sha256,
        oldest=measure.oldest,
        newest=measure.newest,
        root=closed.frontier.root().hex(),
        frontier=closed.frontier.text(),
    )
