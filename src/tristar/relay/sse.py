"""Server-sent events cut out of a byte stream, at any chunk boundary.

Format: WHATWG HTML, section 9.2 "Server-sent events". An event ends at a blank line; lines end
in LF, CR LF or CR. Events are handed on as the bytes that arrived.
"""

from tristar.errors import UpstreamBroken

EVENT_LIMIT_BYTES = 8 * 1024 * 1024
FIELD = b"data: "
END = b"\n\n"
_BETWEEN = END + FIELD


class EventSplitter:
    """Feeds on pieces of a stream and gives whole events, each with its terminating blank line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """What has arrived of an event that is not whole yet."""
        return self._rest

    def feed(self, piece: bytes) -> bytes:
        """The events that `piece` completes, one behind the other, in lines that end in LF; b"" for none.

        Raises:
            UpstreamBroken: one event exceeds `EVENT_LIMIT_BYTES`.
        """
        data = self._rest + piece if self._rest else piece
        held = b""
        if b"\r" in data:
            # A CR at the very end may be half of a CR LF: it waits for the next piece.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = b""
        if not data.endswith(END):
            whole, end, rest = data.rpartition(END)
            data = whole + end
        self._keep(rest + held)
        return data

    def _keep(self, rest: bytes) -> None:
        if len(rest) > EVENT_LIMIT_BYTES:
            raise UpstreamBroken(f"One event of the upstream's stream exceeds {EVENT_LIMIT_BYTES} bytes.")
        self._rest = rest


def events_in(block: bytes) -> list[bytes]:
    """The events of what `EventSplitter.feed` gave, each with its terminating blank line."""
    return [event.lstrip(b"\n") + END for event in block.split(END) if event.strip(b"\n")]


def data_lines(block: bytes) -> list[bytes] | None:
    """The data of each event of such a block, if each is one line of it, as most write it; else None.

    `event_of` gives the very events again.
    """
    if not block.startswith(FIELD):
        return None
    lines = block[len(FIELD) : -len(END)].split(_BETWEEN)
    # Newlines are at the ends of events alone: none of them has a second line, none is empty.
    return lines if block.count(b"\n") == len(END) * len(lines) else None


def event_of(*data: bytes) -> bytes:
    """Events of a line each."""
    return b"%b%b%b" % (FIELD, _BETWEEN.join(data), END)


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined by LF; None when it has none (a comment, say)."""
    if event.startswith(b"data:") and event.find(b"\n") == len(event) - 2:
        return event[5:-2].removeprefix(b" ")
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
