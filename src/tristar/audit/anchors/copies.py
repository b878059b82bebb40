"""Checkpoints as files in a directory that this machine may add to: a mount from elsewhere, a WORM share."""

from pathlib import Path

from tristar.audit.anchors.anchor import Checkpoint, keep
from tristar.audit.disk import Disk
from tristar.audit.sinks.receiver import SinkDown


class FileAnchor:
    """See `Anchor`. The directory is not made: where a mount is missing, nothing may be written under it."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self._directory = directory
        self._disk = disk or Disk()

    def put(self, checkpoint: Checkpoint) -> None:
        """See `Anchor.put`."""
        if not self._directory.is_dir():
            raise SinkDown(f"{self._directory}: no such directory: make it, or mount it")
        keep(self._disk, self._directory / checkpoint.file_name, checkpoint.raw)
