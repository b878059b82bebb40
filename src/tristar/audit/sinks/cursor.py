"""Where a sink stands in the log: `sinks/<name>.json` in the log's own directory."""

from pathlib import Path
from typing import Final

import msgspec

from tristar.audit.disk import Disk

SINKS: Final = "sinks"
FROM_NOW: Final = -1


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is the first number not acknowledged, `event_id` the record's before it ("": none yet).

    `next` is `FROM_NOW` for a sink that is to begin with what comes after its first start.
    """

    sink: str
    mandatory: bool
    next: int
    event_id: str = ""


class CursorFile:
    """The durable cursor of one sink. Used by one thread at a time."""

    def __init__(self, directory: Path, sink: str, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._path = directory / SINKS / f"{sink}.json"
        self._sink = sink

    def load(self) -> Cursor | None:
        """The cursor; None where there is none that can be read. Raises OSError."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Cursor)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, cursor: Cursor) -> None:
        """Replace the cursor; durable once this returns. Raises OSError: the old one stays."""
        self._disk.make_directory(self._path.parent)
        self._disk.install(self._path, msgspec.json.encode(cursor) + b"\n")

    def claim(self, *, mandatory: bool, begin: int) -> None:
        """See that there is a cursor and that it says whether the sink is mandatory. Raises OSError."""
        found = self.load()
        if found is None:
            self.save(Cursor(sink=self._sink, mandatory=mandatory, next=begin))
        elif found.mandatory != mandatory:
            self.save(msgspec.structs.replace(found, mandatory=mandatory))


def release_others(directory: Path, kept: set[str]) -> list[str]:
    """Have the cursors of all other sinks hold nothing back any more; returns whose did. Raises OSError."""
    released = []
    for path in sorted((directory / SINKS).glob("*.json")):
        file = CursorFile(directory, path.stem)
        found = file.load()
        if path.stem not in kept and found is not None and found.mandatory:
            file.save(msgspec.structs.replace(found, mandatory=False))
            released.append(path.stem)
    return released


def floor(directory: Path) -> int | None:
    """The first record that a mandatory sink still needs; None where nothing is held back.

    A cursor that cannot be read holds everything: better kept than lost.
    """
    needed: list[int] = []
    for path in (directory / SINKS).glob("*.json"):
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Cursor)
        except FileNotFoundError:
            continue
        except (msgspec.DecodeError, OSError):
            return 0
        if found.mandatory and found.next != FROM_NOW:
            needed.append(found.next)
    return min(needed, default=None)
