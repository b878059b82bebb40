"""The log in columns, for questions: one Parquet file per closed segment, in `parquet/`.

A file is derived from its segment and never evidence: `verify` does not look at it, and whoever deletes it
loses nothing but time. Its name holds the beginning of the hash of the lines that it was made of, so that
one listing tells which are missing or stale.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tristar.audit.reader import Segment, Snapshot
from tristar.audit.segments import Manifest, list_manifests
from tristar.errors import AuditCorrupt

FOLDER: Final = "parquet"
VERSION: Final = 1
"""Goes up with every change of `COLUMNS`: files of another version are made anew."""

COLUMNS: Final[Mapping[str, str]] = {
    "timestamp": "TIMESTAMP",
    "trace_id": "VARCHAR",
    "action": "VARCHAR",
    "resource": "VARCHAR",
    "log_level": "VARCHAR",
    "seq": "BIGINT",
    "event_id": "VARCHAR",
    "outcome": "VARCHAR",
    "user_id": "VARCHAR",
    "session_id": "VARCHAR",
    "ip_address": "VARCHAR",
    "duration_ms": "DOUBLE",
    "status": "BIGINT",
    "details": "JSON",
    "service": "VARCHAR",
    "version": "VARCHAR",
    "host": "VARCHAR",
    "worker": "VARCHAR",
    "sealed": "VARCHAR",
}
"""The fields of a record in their order, and DuckDB's types for them. `timestamp` is UTC; `sealed` is null
but in records of subjects that can be erased."""

VERIFY: Final = "Run `tristar audit verify` to find where and what"

_NAME = re.compile(r"(\d{20})\.[0-9a-f]{16}\.v\d+\.parquet")
_HASH_CHARS = 16


@dataclass(frozen=True, slots=True)
class Part:
    """One segment, and the file that has or would have its columns: None for one that cannot have any yet."""

    segment: Segment
    manifest: Manifest | None
    columns: Path | None
    ready: bool

    @property
    def closed(self) -> bool:
        """Whether the segment is closed and compressed."""
        return self.segment.visible_bytes is None

    def check(self) -> None:
        """See that a closed segment has the size that it was written with.

        DuckDB takes the end of a file for the end of its lines, wherever that is.

        Raises:
            AuditCorrupt: it has not.
            FileNotFoundError: retention took it.
        """
        path, manifest = self.segment.path, self.manifest
        if self.closed and manifest is not None and path.stat().st_size != manifest.packed_bytes:
            raise AuditCorrupt(f"{path} is damaged: it has not the size that it was written with. {VERIFY}")


def plan(directory: Path) -> list[Part]:
    """The log now, segment by segment in its order. Opens nothing but manifests of closed segments."""
    ready = _ready(directory)
    manifests = list_manifests(directory)
    parts = []
    for segment in Snapshot.take(directory).segments:
        manifest = manifests.get(segment.first_seq) if segment.visible_bytes is None else None
        path = None if manifest is None else _path(directory, manifest)
        parts.append(Part(segment, manifest, path, path is not None and path.name in ready))
    return parts


def lacking(directory: Path) -> frozenset[int]:
    """The closed segments, by their first number, that have no columns of any kind: cheap enough to ask
    again and again."""
    having = {int(name[:20]) for name in _ready(directory)}
    return frozenset(
        segment.first_seq
        for segment in Snapshot.take(directory).segments
        if segment.visible_bytes is None and segment.first_seq not in having
    )


def missing(directory: Path) -> frozenset[int]:
    """The closed segments whose columns are missing or stale; reads every manifest."""
    parts = plan(directory)
    return frozenset(part.segment.first_seq for part in parts if part.columns and not part.ready)


def outdated(directory: Path) -> list[Path]:
    """Files in `parquet/` whose segment is gone, or is not the one that they were made of."""
    expected = {part.columns.name for part in plan(directory) if part.columns is not None}
    folder = directory / FOLDER
    return [folder / name for name in _ready(directory) if name not in expected]


def remove(directory: Path, first: int) -> None:
    """Delete the columns of the segment that begins with this number, if there are any.

    Raises:
        OSError: the disk refused.
    """
    for path in _of_segment(directory, first):
        path.unlink(missing_ok=True)


def _of_segment(directory: Path, first: int) -> Iterator[Path]:
    return (directory / FOLDER).glob(f"{first:020d}.*.parquet")


def _ready(directory: Path) -> set[str]:
    try:
        return {path.name for path in (directory / FOLDER).iterdir() if _NAME.fullmatch(path.name)}
    except FileNotFoundError:
        return set()


def _path(directory: Path, manifest: Manifest) -> Path:
    name = f"{manifest.first:020d}.{manifest.sha256[:_HASH_CHARS]}.v{VERSION}.parquet"
    return directory / FOLDER / name
