"""What may be deleted: whole closed segments whose newest record has expired and that nobody holds."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tristar.audit.disk import Disk
from tristar.audit.recovery import HOLDS
from tristar.audit.segments import Manifest, SegmentFile, line_stamp

_HOLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY_S = 86_400


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A reason to keep records whatever their age; `since` and `until` are timestamps, "" is without end."""

    name: str
    reason: str
    since: str = ""
    until: str = ""

    def covers(self, oldest: str, newest: str) -> bool:
        """Whether any record between these timestamps is held."""
        return (not self.until or oldest <= self.until) and (not self.since or newest >= self.since)


def hold(directory: Path, held: Hold, disk: Disk | None = None) -> Path:
    """Keep the records of a time span until `release_hold`; durable once this returns.

    Works while a gateway writes the log. The caller records it (`audit_hold`).

    Raises:
        ValueError: the name is not one of at most 64 letters, digits, dots, dashes and underscores.
    """
    path = _hold_path(directory, held.name)
    device = disk or Disk()
    device.make_directory(path.parent)
    device.install(path, msgspec.json.encode(held) + b"\n")
    return path


def release_hold(directory: Path, name: str, disk: Disk | None = None) -> bool:
    """End a hold; false where there was none of that name."""
    path = _hold_path(directory, name)
    if not path.exists():
        return False
    device = disk or Disk()
    device.unlink(path)
    device.sync_directory(path.parent)
    return True


def list_holds(directory: Path) -> list[Hold]:
    """The holds in force. A file that cannot be read holds everything: better kept than lost."""
    holds = []
    for path in sorted((directory / HOLDS).glob("*.json")):
        try:
            holds.append(msgspec.json.decode(path.read_bytes(), type=Hold))
        except FileNotFoundError:
            continue
        except (msgspec.DecodeError, OSError):
            holds.append(Hold(name=path.stem, reason="the hold's file cannot be read"))
    return holds


def _hold_path(directory: Path, name: str) -> Path:
    if not _HOLD_NAME.fullmatch(name):
        raise ValueError("a hold's name has at most 64 letters, digits, dots, dashes and underscores")
    return directory / HOLDS / f"{name}.json"


def cutoff_stamp(now_s: float, retention_days: float) -> str:
    """The timestamp before which a record has expired."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(now_s - retention_days * _DAY_S))


def expired(
    manifests: Iterable[Manifest], cutoff: str, holds: list[Hold], floor: int | None
) -> list[Manifest]:
    """The segments that may be deleted; `floor` is the first number that a mandatory sink still needs."""
    return [
        manifest
        for manifest in manifests
        if not manifest.deleted
        and "" < manifest.newest < cutoff
        and (floor is None or manifest.end <= floor)
        and not any(found.covers(manifest.oldest, manifest.newest) for found in holds)
    ]


def stamps(segment: SegmentFile) -> tuple[str, str]:
    """The oldest and the newest timestamp in a segment's lines, whatever their order."""
    oldest, newest = "", ""
    for block in segment.blocks():
        found = [stamp for stamp in map(line_stamp, block) if stamp]
        if found:
            oldest = min(found) if not oldest else min(oldest, *found)
            newest = max(newest, *found)
    return oldest, newest
