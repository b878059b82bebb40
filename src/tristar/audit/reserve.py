"""Disk space kept back, so that a full disk still takes the records that are under way."""

import contextlib
import os
import shutil
from pathlib import Path

from tristar.audit.disk import Disk

RESERVE = "reserve"


class Reserve:
    """A file of allocated blocks that is given up when the disk is full, and made again when it no
    longer is."""

    def __init__(self, disk: Disk, directory: Path, size_bytes: int) -> None:
        self._disk = disk
        self._path = directory / RESERVE
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        """Whether the space is kept back at this moment."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.stat().st_size >= self._size_bytes
        return False

    def release(self) -> None:
        """Give the space to the log."""
        self._disk.unlink(self._path)

    def restore(self) -> bool:
        """Take the space, if the disk has it and as much again; whether it is held now."""
        if self.held:
            return True
        if shutil.disk_usage(self._path.parent).free < 2 * self._size_bytes:
            return False
        self._disk.unlink(self._path)
        descriptor = self._disk.create(self._path)
        try:
            self._disk.allocate(descriptor, self._size_bytes)
        except OSError:
            self._disk.unlink(self._path)
            return False
        finally:
            self._disk.close(descriptor)
        return True


def used_bytes(directory: Path) -> int:
    """What the directory's files take up, as their sizes say; the reserve is not counted."""
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - a path object per tile is slow
    with contextlib.suppress(OSError):
        total -= (directory / RESERVE).stat().st_size
    return total
