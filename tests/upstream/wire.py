"""How an answer travels: framing, splitting, preliminaries, and how the connection ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

Framing = Literal["chunked", "length", "close"]
Afterwards = Literal["keep", "close", "close_on_next", "half_close"]


@dataclass(frozen=True)
class Wire:
    """The transport of one answer; the defaults are those of a well-behaved server.

    Args:
        framing: chunked, Content-Length, or delimited by the end of the connection; None means
            chunked for streams and Content-Length for the rest.
        split_bytes: send in pieces of this many bytes, each its own segment; 0 means as they come.
        piece_gap_s: pause after each piece: a slow body.
        preface: raw bytes before the answer, such as `INFORMATIONAL`.
        headers: further header lines.
        extensions: every chunk carries a chunk extension.
        trailers: header lines after the last chunk.
        afterwards: keep the connection, close it at once (without having said so), close it when the
            next request arrives unanswered, or close the sending half alone.
        send_buffer_bytes: the kernel's send buffer, so that backpressure is felt early.
    """

    framing: Framing | None = None
    split_bytes: int = 0
    piece_gap_s: float = 0.0
    preface: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    extensions: bool = False
    trailers: tuple[tuple[str, str], ...] = ()
    afterwards: Afterwards = "keep"
    send_buffer_bytes: int | None = None


REASONS = {known.value: known.phrase for known in HTTPStatus}
INFORMATIONAL = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
)


def huge_headers(total_bytes: int) -> tuple[tuple[str, str], ...]:
    """Header lines of about `total_bytes` in all, 1 kB each."""
    return tuple((f"x-filler-{index}", "f" * 1000) for index in range(max(1, total_bytes // 1000)))


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A status line and header block."""
    reason = REASONS.get(status, "Unknown")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def framing_headers(framing: Framing, total_bytes: int) -> list[tuple[str, str]]:
    """The header that announces this framing."""
    if framing == "chunked":
        return [("transfer-encoding", "chunked")]
    if framing == "length":
        return [("content-length", str(total_bytes))]
    return [("connection", "close")]


def frame(piece: bytes, framing: Framing, *, extensions: bool = False) -> bytes:
    """One piece of body as it goes on the wire."""
    if framing != "chunked":
        return piece
    extension = b";tristar-test=1" if extensions else b""
    return b"%x%s\r\n%s\r\n" % (len(piece), extension, piece)


def last_frame(framing: Framing, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
    """What ends the body: the zero chunk with its trailers, or nothing."""
    if framing != "chunked":
        return b""
    lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"
