"""What is said on the socket of an audit directory, and how to reach it.

A frame is four bytes of length, big-endian, and one message in MessagePack. The socket stands in the
directory itself; it is bound and reached through `/proc/self/fd`, so that the directory's path may be of any
length.
"""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from tristar.audit.draft import Draft

SOCKET = "writer.sock"
MAX_FRAME_BYTES = 1 << 20
_T = TypeVar("_T")
_LENGTH = struct.Struct(">I")
_PEER = struct.Struct("3i")


class Append(msgspec.Struct, frozen=True, array_like=True, tag="append"):
    """Record this. `floor` of -1: sent for the first time; else it may be in the log from this number on."""

    number: int
    draft: Draft
    floor: int = -1


class Withdraw(msgspec.Struct, frozen=True, array_like=True, tag="withdraw"):
    """Take these back where that is still possible; those taken back are answered with `Failed`."""

    numbers: list[int]


class Yield(msgspec.Struct, frozen=True, array_like=True, tag="yield"):
    """Let another process write: asked by a gateway that starts."""


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The first message of the writer: how many records are durable."""

    size: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """These are durable: (number, sequence number) each."""

    records: list[tuple[int, int]]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """These are not in the log."""

    numbers: list[int]
    reason: str


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The writer stays."""

    reason: str


Request = Append | Withdraw | Yield
Answer = Welcome | Done | Failed | Refused

_encode = msgspec.msgpack.Encoder().encode
_requests = msgspec.msgpack.Decoder(Request)
_answers = msgspec.msgpack.Decoder(Answer)


class FrameInvalid(Exception):
    """The peer does not speak this protocol; the connection is of no further use."""


def frame(message: Request | Answer) -> bytes:
    """One message, ready to send."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class Inbox:
    """Puts received bytes together to messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def requests(self, data: bytes) -> Iterator[Request]:
        """The requests that these bytes complete. Raises FrameInvalid."""
        for body in self._frames(data):
            yield _decoded(_requests, body)

    def answers(self, data: bytes) -> Iterator[Answer]:
        """The answers that these bytes complete. Raises FrameInvalid."""
        for body in self._frames(data):
            yield _decoded(_answers, body)

    def _frames(self, data: bytes) -> Iterator[bytes]:
        self._data += data
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > MAX_FRAME_BYTES:
                raise FrameInvalid(f"a frame of {length} bytes")
            end = _LENGTH.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield body


def _decoded(decoder: msgspec.msgpack.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise FrameInvalid(str(error)) from error


@contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    """A short path to the directory's socket."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def bind(directory: Path) -> socket.socket:
    """The listening socket, 0600; the caller holds the directory's lock, so an older one is stale."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        os.fchmod(listener.fileno(), 0o600)
        (directory / SOCKET).unlink(missing_ok=True)
        with _reachable(directory) as path:
            listener.bind(path)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def connect(directory: Path, timeout_s: float = 1.0) -> socket.socket:
    """A connection to the directory's writer. OSError: there is none, or it is not ours."""
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        peer.settimeout(timeout_s)
        with _reachable(directory) as path:
            peer.connect(path)
        if not is_own(peer):
            raise PermissionError(f"{directory / SOCKET}: the writer runs under another user")
    except OSError:
        peer.close()
        raise
    return peer


def is_own(peer: socket.socket) -> bool:
    """Whether the process at the other end runs under this user, or as root."""
    _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return uid in {os.geteuid(), 0}
