"""A file that appears whole or not at all, in a directory that is what it claims to be."""

import contextlib
import gzip
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, Self

import zstandard

from tristar.errors import TriStarError

Compression = Literal["gzip", "zstd", "none"]

_SUFFIXES: dict[Compression, str] = {"gzip": ".gz", "zstd": ".zst", "none": ""}


class ExportRefused(TriStarError):
    """The output path is one that an export must not write to; nothing was written.

    Operator action: name another file, as the message says.
    """


def compression(choice: bool | str) -> Compression:
    """What `compress=` means: True is gzip, False is none; or the name itself.

    Raises:
        ValueError: there is no such compression.
    """
    if choice is True or choice == "gzip":
        return "gzip"
    if choice is False or choice == "none":
        return "none"
    if choice == "zstd":
        return "zstd"
    raise ValueError(f"unknown compression {choice!r:.64}: use gzip, zstd or none")


def real_path(output: Path, packed: Compression) -> Path:
    """The path that is really written: its last suffix tells the truth about the compression."""
    bare = output.with_name(output.name.removesuffix(".gz").removesuffix(".zst") or output.name)
    return bare.with_name(bare.name + _SUFFIXES[packed])


def refuse_unsafe(path: Path, log_directory: Path) -> None:
    """Refuse what is or leads through a link, a directory, or the log itself.

    Raises:
        ExportRefused: with the reason and what to name instead.
    """
    for part in (path, path.parent):
        if part.is_symlink():
            raise ExportRefused(
                f"{part} is a symbolic link: name the file it leads to, {part.resolve()}, itself"
            )
    if path.exists() and not path.is_file():
        raise ExportRefused(f"{path} is not a regular file: name a file")
    if path.resolve().is_relative_to(log_directory.resolve()):
        raise ExportRefused(
            f"{path} lies in the audit log's own directory: name a file outside {log_directory}"
        )


class OutFile:
    """Bytes on their way into a file that exists under its name only once it is complete and durable.

    Use as a context manager: left without an error, the file is fsync'd, renamed into place and its
    directory fsync'd; left with one, no trace remains. Parent directories are made (0700), the file is 0600.
    `sha256` and `size_bytes` are those of the file as it lies on disk, and final after the block.

    Raises:
        OSError: the disk refused; ExportRefused: the directory turned into a link meanwhile.
    """

    def __init__(self, path: Path, packed: Compression) -> None:
        self.path = path
        self.size_bytes = 0
        self._packed = packed
        self._digest = hashlib.sha256()
        self._abandoned = False
        self._temporary = f".{path.name[:100]}.{secrets.token_hex(6)}.tmp"
        self._stack = contextlib.ExitStack()

    @property
    def sha256(self) -> str:
        """Hexadecimal, of every byte written so far."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._directory = stack.enter_context(_opened_directory(self.path.parent))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._temporary, flags, 0o600, dir_fd=self._directory)
            stack.callback(self._discard)
            self._file = stack.enter_context(os.fdopen(descriptor, "wb", buffering=0))
            self._sink = packer(_Tap(self), self._packed)
            self._stack = stack.pop_all()
        return self

    def write(self, data: bytes) -> None:
        """Take the next bytes of the content, before compression."""
        self._sink.write(data)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                self._settle()
            else:
                self._abandoned = True
                self._sink.close()

    def _settle(self) -> None:
        self._sink.close()
        os.fsync(self._file.fileno())
        os.rename(self._temporary, self.path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)

    def _discard(self) -> None:
        """Remove the temporary file, if it still has that name."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary, dir_fd=self._directory)

    def take(self, data: bytes) -> int:
        """Put compressed bytes on disk and into the digest."""
        if self._abandoned:
            return len(data)
        self._digest.update(data)
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            view = view[written or 0 :]
        self.size_bytes += len(data)
        return len(data)


class _Tap:
    """What a compressor writes to."""

    def __init__(self, target: OutFile) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        return self._target.take(bytes(data))

    def flush(self) -> None:
        """Nothing is held back."""


@contextlib.contextmanager
def _opened_directory(path: Path) -> Iterator[int]:
    """A descriptor of the directory, opened without following a link in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if stat.S_ISLNK(path.lstat().st_mode):
            raise ExportRefused(f"{path} is a symbolic link: name the directory it leads to") from error
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Target(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class _Open:
    """The target as it is."""

    def __init__(self, target: _Target) -> None:
        self.write = target.write

    def close(self) -> None:
        """The target is closed by its owner."""


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> None: ...


def packer(target: _Target, packed: Compression) -> _Sink:
    """What compresses on the way to the target; `close` ends the compression and leaves the target open."""
    if packed == "gzip":
        return gzip.GzipFile(
            filename="",
            fileobj=target,
            mode="wb",
            compresslevel=6,
            mtime=0,
        )
    if packed == "zstd":
        return zstandard.ZstdCompressor(level=3).stream_writer(target, closefd=False)  # type: ignore[arg-type]  # a writer in all that is used
    return _Open(target)
