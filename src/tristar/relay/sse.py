"""Server-sent events cut out of a byte stream, at any chunk boundary.

Format: WHATWG HTML, section 9.2 "Server-sent events". An event ends at a blank line; lines end
in LF, CR LF or CR. Events are handed on as the bytes that arrived.
"""

from tristar.errors import UpstreamBroken

EVENT_LIMIT_BYTES = 8 * 1024 * 1024


class EventSplitter:
    """Feeds on pieces of a stream and gives whole events, each with its terminating blank line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """What has arrived of an event that is not whole yet."""
        return self._rest

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that `piece` completes, in order.

        Raises:
            UpstreamBroken: one event exceeds `EVENT_LIMIT_BYTES`.
        """
        data = self._rest + piece if self._rest else piece
        if b"\r" in data:
            return self._feed_with_returns(data)
        events = data.split(b"\n\n")
        self._keep(events.pop())
        return [event + b"\n\n" for event in events if event.strip(b"\n")]

    def _feed_with_returns(self, data: bytes) -> list[bytes]:
        # A CR at the very end may be half of a CR LF: it waits for the next piece.
        held = b"\r" if data.endswith(b"\r") else b""
        body = data[: len(data) - len(held)]
        normal = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events = normal.split(b"\n\n")
        self._keep(events.pop() + held)
        return [event + b"\n\n" for event in events if event.strip(b"\n")]

    def _keep(self, rest: bytes) -> None:
        if len(rest) > EVENT_LIMIT_BYTES:
            raise UpstreamBroken(f"One event of the upstream's stream exceeds {EVENT_LIMIT_BYTES} bytes.")
        self._rest = rest


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined by LF; None when it has none (a comment, say)."""
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2:
        return event[5:-2].removeprefix(b" ")
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
