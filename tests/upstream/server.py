"""The sockets: an asyncio protocol on a thread of its own, so that sync and async tests can use it."""

import asyncio
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httptools
from tests.upstream import payload
from tests.upstream.journal import Call, Connection, Journal
from tests.upstream.script import Answer, Embedded, Status, Step
from tests.upstream.sockets import bound_socket
from tests.upstream.stage import Stage
from tests.upstream.wire import head

T = TypeVar("T")


class Upstream:
    """A scripted upstream on a free port of the loopback address.

    Methods may be called from any thread. `default` is what a model without a script meets.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, port: int = 0, default: Step | None = None
    ) -> None:
        self.journal = Journal()
        self.default: Step = default or Answer()
        self._tls = tls
        self._scripts: dict[str, deque[Step]] = {}
        self._numbered: dict[int, Step] = {}
        self._socket = bound_socket(port)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"upstream-{self.port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._peers: set[Peer] = set()

    @property
    def base_url(self) -> str:
        """For a provider's configuration or an SDK's `base_url`."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    def on(self, model: str, *steps: Step) -> None:
        """Calls of `model` meet these steps in turn, the last one for ever."""
        self._scripts[model] = deque(steps)

    def at(self, number: int, step: Step) -> None:
        """The call of this number (from 1, over all models) meets this step."""
        self._numbered[number] = step

    def start(self) -> Self:
        """Listen; returns once connections are accepted."""
        self._thread.start()
        self._await(self._listen(self._socket))
        return self

    def stop(self) -> None:
        """Close every connection and the port."""
        self._await(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._socket.close()

    def go_down(self) -> None:
        """Refuse connections and reset those that are open, until `come_up`."""
        self._await(self._shut())
        self._socket = bound_socket(self.port)

    def come_up(self) -> None:
        """Listen again on the same port."""
        self._await(self._listen(self._socket))

    def drop_idle(self) -> None:
        """Close every open connection, as a server's keep-alive timeout does."""

        async def drop() -> None:
            for peer in list(self._peers):
                peer.transport.close()

        self._await(drop())

    def step_for(self, call: Call) -> Step:
        """What this call meets; consumes one step of the model's script."""
        if call.number in self._numbered:
            return self._numbered[call.number]
        if call.path.endswith("/count_tokens"):
            return Status(200, body=b'{"input_tokens":14}')
        if call.form is None:
            return Other()
        steps = self._scripts.get(call.model)
        if not steps:
            return Embedded() if call.path.endswith("/embeddings") else self.default
        return steps.popleft() if len(steps) > 1 else steps[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self, sock: socket.socket) -> None:
        self._server = await self._loop.create_server(
            lambda: Peer(self.journal, self.step_for, self._peers), sock=sock, ssl=self._tls, backlog=1024
        )

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        plays = [task for peer in list(self._peers) for task in peer.abandon()]
        await asyncio.gather(*plays, return_exceptions=True)
        await asyncio.sleep(0)


class Peer(asyncio.Protocol):
    """One connection: reads requests, plays their steps one after the other."""

    def __init__(self, journal: Journal, step_for: Callable[[Call], Step], peers: "set[Peer]") -> None:
        self.transport: asyncio.Transport
        self.close_on_next = False
        self._journal = journal
        self._step_for = step_for
        self._peers = peers
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Call] = deque()
        self._play: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = cast("asyncio.Transport", transport)
        self._record = Connection(len(self._journal.connections) + 1, time.monotonic())
        self._journal.connections.append(self._record)
        self._peers.add(self)
        self._journal.note()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._record.bytes_received += len(data)
        if self.close_on_next:
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.write(head(400, [("content-length", "0"), ("connection", "close")]))
            self.transport.close()

    def eof_received(self) -> bool:
        """The client closed its side: it wants no answer any more."""
        self._client_left()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._record.closed_s = time.monotonic()
        self._peers.discard(self)
        self._client_left()
        self._room.set()
        self._journal.note()

    def pause_writing(self) -> None:
        """See asyncio."""
        self._room.clear()

    def resume_writing(self) -> None:
        """See asyncio."""
        self._room.set()

    async def drained(self) -> None:
        """See `stage.Line`."""
        await self._room.wait()

    def abandon(self) -> list[asyncio.Task[None]]:
        """Drop the connection from our side; the tasks still to be awaited."""
        self.transport.abort()
        if self._play is None:
            return []
        self._play.cancel()
        return [self._play]

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        call = Call(
            number=len(self._journal.calls) + 1,
            connection=self._record.number,
            method=self._parser.get_method().decode(),
            path=self._path,
            headers=tuple(self._headers),
            body=bytes(self._body),
            started_s=time.monotonic(),
        )
        self._record.calls += 1
        self._journal.calls.append(call)
        self._begin()
        self._waiting.append(call)
        if self._play is None:
            self._play = asyncio.get_running_loop().create_task(self._play_all())
        self._journal.note()

    def _begin(self) -> None:
        self._path = ""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    async def _play_all(self) -> None:
        while self._waiting:
            call = self._waiting[0]
            step = self._step_for(call)
            call.step = type(step).__name__
            await step.play(Stage(call, self, self._journal))
            self._waiting.popleft()
        self._play = None

    def _client_left(self) -> None:
        if self._play is not None:
            self._play.cancel()
            self._play = None
        for call in self._waiting:
            if not call.ended:
                call.gone_s = time.monotonic()
        self._waiting.clear()
        self._journal.note()


class Other:
    """The routes beside chat: the list of models, and 404 for the rest."""

    async def play(self, stage: Stage) -> None:
        """Answer the route."""
        if not stage.call.path.endswith("/models"):
            await Status(404).play(stage)
            return
        model = {"id": "gpt-x", "object": "model", "created": payload.CREATED, "owned_by": "upstream"}
        body = payload.encode({"object": "list", "data": [model]})
        stage.answered(200)
        await stage.send(
            head(200, [("content-type", "application/json"), ("content-length", str(len(body)))]) + body
        )
        stage.finished()
