"""The few system calls by which the log reaches the disk: one place to watch them, and to make them fail."""

import contextlib
import os
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class Disk:
    """Thin names for system calls; each raises OSError. Stateless, thread-safe."""

    def create(self, path: Path) -> int:
        """Make a new file, 0600, for reading and writing; FileExistsError if there is one."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def open(self, path: Path) -> int:
        """Open an existing file for reading and writing; a symbolic link is refused."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self, descriptor: int) -> None:
        """Release the descriptor."""
        os.close(descriptor)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write at an offset; may write less than asked."""
        return os.pwrite(descriptor, data, offset)

    def fdatasync(self, descriptor: int) -> None:
        """Return once the file's bytes, and the size needed to read them, are on the device."""
        os.fdatasync(descriptor)

    def fsync(self, descriptor: int) -> None:
        """Return once the file and its metadata are on the device."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size_bytes: int) -> None:
        """Cut the file to this size."""
        os.ftruncate(descriptor, size_bytes)

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        """Take this much of the disk for the file."""
        os.posix_fallocate(descriptor, 0, size_bytes)

    def replace(self, source: Path, target: Path) -> None:
        """Rename over the target in one step."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove a name; no error if it is not there."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Return once the directory's names are on the device."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_directory(self, path: Path, *, durable: bool = True) -> None:
        """Make a directory, 0700, with its parents, 0700 too; no error if it is there.

        `durable`: its name survives a power cut, once this returns, also where an earlier process made it.
        """
        if not path.parent.is_dir():
            self.make_directory(path.parent, durable=durable)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        if durable:
            with contextlib.suppress(
                PermissionError
            ):  # a parent that we may not read has been there before us
                self.sync_directory(path.parent)

    def write_whole(self, descriptor: int, data: bytes, offset: int = 0) -> None:
        """Write all of the data at the offset."""
        done = self.pwrite(descriptor, data, offset)
        while done < len(data):
            done += self.pwrite(descriptor, memoryview(data)[done:], offset + done)

    def install(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Put a file in place whole: readers see the old or the new content, never a part.

        `durable`: also after a power cut, once this returns. Otherwise the content may be lost, not torn by a
        crash of this process.
        """
        temporary = path.with_name(f".{path.name}.tmp")
        self.unlink(temporary)
        descriptor = self.create(temporary)
        try:
            self.write_whole(descriptor, data)
            if durable:
                self.fsync(descriptor)
        finally:
            self.close(descriptor)
        self.replace(temporary, path)
        if durable:
            self.sync_directory(path.parent)
