"""What an anchor does with a checkpoint: one class per kind, one promise for all."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from tristar.audit.checkpoint import Statement
from tristar.audit.disk import Disk
from tristar.audit.signing import Note
from tristar.audit.sinks.receiver import SinkDown

CHECKPOINTS: Final = ".checkpoint"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint as it was published, and what it says; its signature was not checked."""

    raw: bytes
    origin: str
    size: int

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one. Raises ValueError."""
        said = Statement.parse(Note.parse(raw).body)
        return cls(raw, said.origin, said.size)

    @property
    def file_name(self) -> str:
        """Its name in a directory of checkpoints: they sort by size, and no two are the same."""
        return f"{self.size:020d}-{hashlib.sha256(self.raw).hexdigest()[:8]}{CHECKPOINTS}"


class Anchor(Protocol):
    """Takes checkpoints; used by one thread."""

    def put(self, checkpoint: Checkpoint) -> None:
        """Return once the checkpoint is out of this machine's reach, as far as this anchor can know.

        Raises:
            SinkDown: it may not be; nothing was lost, it will be tried again.
        """
        ...


def keep(disk: Disk, path: Path, content: bytes) -> None:
    """Write a new file durably and never over another; the file may be there already with this content.

    Nothing is renamed or removed, so that a directory which only lets files be added will do.

    Raises:
        SinkDown: the file could not be written, or holds something else.
    """
    try:
        _write_new(disk, path, content)
    except FileExistsError:
        with contextlib.suppress(OSError):
            if path.read_bytes() == content:
                return
        raise SinkDown(f"{path}: there already, with another content") from None
    except OSError as error:
        raise SinkDown(f"{path}: {error.strerror or error}") from error


def _write_new(disk: Disk, path: Path, content: bytes) -> None:
    descriptor = disk.create(path)
    try:
        disk.write_whole(descriptor, content)
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    disk.sync_directory(path.parent)
