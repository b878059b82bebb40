"""The writer's door for other processes of this host that only import the library."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

import zstandard

from tristar.audit.segments import PACKED, PLAIN, SegmentFile, line_event_id, list_segments
from tristar.audit.wire import (
    SOCKET,
    Answer,
    Append,
    Done,
    Failed,
    FrameInvalid,
    Inbox,
    Refused,
    Welcome,
    Withdraw,
    bind,
    frame,
    is_own,
)
from tristar.audit.writer import AuditWriter
from tristar.errors import AuditUnavailable

_STAYS = "a gateway writes this audit log and stays: stop it first"


class AuditSocket:
    """Serves library clients on the running event loop; used on that loop alone.

    A record is answered once it is durable. One that a client sends again, because it lost its connection
    before the answer, is looked for in the log first, so it is there once.
    """

    def __init__(self, writer: AuditWriter, on_yield: Callable[[], None] | None) -> None:
        """Use `serve`."""
        self.writer = writer
        self.on_yield = on_yield
        self.loop = asyncio.get_running_loop()
        self.under_way: dict[str, list[_Claim]] = {}
        self._connections: set[_Connection] = set()
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    @classmethod
    async def serve(cls, writer: AuditWriter, *, on_yield: Callable[[], None] | None = None) -> Self:
        """Begin to listen in the writer's directory.

        `on_yield` is called when another process asks for the log; it should close this socket, then the
        writer. Without it the request is refused, as a gateway does. Raises OSError.
        """
        served = cls(writer, on_yield)
        served._socket = bind(writer.directory)
        served._server = await served.loop.create_unix_server(
            lambda: _Connection(served), sock=served._socket, start_serving=True
        )
        return served

    @property
    def descriptor(self) -> int:
        """The listening socket's, which a forked child must close."""
        return self._socket.fileno() if self._socket is not None else -1

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._connections)

    def stop_listening(self) -> None:
        """Take no further connections or records; answers to what was taken still go out."""
        if self._server is not None:
            self._server.close()
            self._server = None
        with contextlib.suppress(OSError):
            (self.writer.directory / SOCKET).unlink(missing_ok=True)
        for connection in self._connections:
            connection.pause()

    async def close(self) -> None:
        """Disconnect everyone, once what they are owed has been said; call it after `AuditWriter.close`."""
        self.stop_listening()
        await asyncio.sleep(0)  # the writer's last words are already on their way through the loop
        for connection in list(self._connections):
            connection.leave()

    def entered(self, connection: "_Connection") -> None:
        """A connection begins."""
        self._connections.add(connection)

    def left(self, connection: "_Connection") -> None:
        """A connection ended."""
        self._connections.discard(connection)

    def settle(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        """The writer's word, on its thread; passed on to the loop."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self.loop.call_soon_threadsafe(self._told, tokens, seqs, error)

    def _told(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        answers: dict[_Connection, tuple[list[tuple[int, int]], list[int]]] = {}
        for at, token in enumerate(tokens):
            for claim in self.under_way.pop(str(token), ()):
                done, failed = answers.setdefault(claim.connection, ([], []))
                if error is None:
                    done.append((claim.number, seqs[at]))
                else:
                    failed.append(claim.number)
        for connection, (done, failed) in answers.items():
            connection.tell(done, failed, str(error or ""))


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who waits for a record, and by which number."""

    connection: "_Connection"
    number: int


@dataclass(eq=False)
class _Connection(asyncio.Protocol):
    """One client."""

    served: AuditSocket
    _transport: asyncio.Transport | None = None
    _inbox: Inbox = field(default_factory=Inbox)
    _held: list[Append | Withdraw] = field(default_factory=list)
    _search: asyncio.Task[None] | None = None
    _mine: dict[int, str] = field(default_factory=dict)

    def connection_made(self, base: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", base)  # by promise, not by class: other loops have their own
        peer = transport.get_extra_info("socket")
        if not is_own(peer):
            transport.abort()
            return
        self._transport = transport
        self.served.entered(self)
        self._say(Welcome(self.served.writer.size))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        self.served.left(self)

    def data_received(self, data: bytes) -> None:
        try:
            for request in self._inbox.requests(data):
                if isinstance(request, Append | Withdraw):
                    self._held.append(request)
                else:
                    self._asked_to_yield()
        except FrameInvalid:
            self.leave()
            return
        self._work()

    def _work(self) -> None:
        """Take what is held, in order; a record that was sent before waits for the search."""
        if self._search is not None:
            return
        repeated = [item for item in self._held if isinstance(item, Append) and item.floor >= 0]
        if repeated:
            self._search = asyncio.ensure_future(self._take_searched(repeated))
            return
        held, self._held = self._held, []
        for request in held:
            self._take(request)

    async def _take_searched(self, repeated: list[Append]) -> None:
        wanted = {
            item.draft.event_id for item in repeated if item.draft.event_id not in self.served.under_way
        }
        floor = min(item.floor for item in repeated)
        try:
            found = await asyncio.to_thread(find_event_ids, self.served.writer.directory, floor, wanted)
        except (OSError, zstandard.ZstdError):
            self.leave()  # it will come back and ask again
            return
        searched = {item.number for item in repeated}
        held, self._held, later = self._held, [], []
        for request in held:
            if not isinstance(request, Append) or request.floor < 0:
                self._take(request)
            elif request.number not in searched:
                later.append(request)
            elif request.draft.event_id in found:
                self.tell([(request.number, found[request.draft.event_id])], [], "")
            else:
                self._take(request)
        self._search, self._held = None, [*later, *self._held]
        if self._held:
            self._work()

    def _take(self, request: Append | Withdraw) -> None:
        if isinstance(request, Withdraw):
            self._withdraw(request.numbers)
            return
        event_id, claim = request.draft.event_id, _Claim(self, request.number)
        if event_id in self.served.under_way:
            self.served.under_way[event_id].append(claim)
            return
        try:
            self.served.writer.append_to(self.served, request.draft, event_id)
        except AuditUnavailable as error:
            if self.served.writer.closing:
                return  # not refused: the client sends it again, to whoever writes next
            self.tell([], [request.number], str(error))
            return
        self._mine[request.number] = event_id
        self.served.under_way[event_id] = [claim]

    def _withdraw(self, numbers: list[int]) -> None:
        wanted = {self._mine[number]: number for number in numbers if number in self._mine}
        taken = self.served.writer.withdraw(wanted)
        for event_id in taken:
            self.served.under_way.pop(str(event_id), None)
        if taken:
            self.tell(
                [], [wanted[str(event_id)] for event_id in taken], "not durable within the time allowed"
            )

    def _asked_to_yield(self) -> None:
        if self.served.on_yield is None:
            self._say(Refused(_STAYS))
            return
        self.served.on_yield()

    def tell(self, done: list[tuple[int, int]], failed: list[int], reason: str) -> None:
        """Answer."""
        for number, _ in done:
            self._mine.pop(number, None)
        for number in failed:
            self._mine.pop(number, None)
        if done:
            self._say(Done(done))
        if failed:
            self._say(Failed(failed, reason))

    def _say(self, answer: Answer) -> None:
        if self._transport is not None:
            self._transport.write(frame(answer))

    def pause(self) -> None:
        """Read no further requests."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def leave(self) -> None:
        """End the connection after what was said."""
        if self._search is not None:
            self._search.cancel()
        if self._transport is not None:
            self._transport.close()


def find_event_ids(directory: Path, floor: int, wanted: set[str]) -> dict[str, int]:
    """Where these records are in the log, looked for from a sequence number on."""
    found: dict[str, int] = {}
    segments = list_segments(directory) if wanted else []
    for position, segment in enumerate(segments):
        last = position + 1 == len(segments)
        if not last and segments[position + 1].first <= floor:
            continue
        for seq, line in enumerate(_lines(segment), segment.first):
            event_id = line_event_id(line) if seq >= floor else None
            if event_id in wanted:
                found[event_id] = seq
    return found


def _lines(segment: SegmentFile) -> Iterator[bytes]:
    """A segment's lines, under whichever name it has now."""
    try:
        yield from segment.lines()
    except FileNotFoundError:  # it was compressed since it was listed; nothing of it has been read yet
        packed = segment.path.with_name(segment.path.name.removesuffix(PACKED).removesuffix(PLAIN) + PACKED)
        yield from SegmentFile(segment.first, packed).lines()
