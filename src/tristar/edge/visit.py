"""One request as the front sees it, whichever server carried it here."""

import asyncio
from typing import Protocol

from tristar.corridor import Headers, Reply
from tristar.edge.reply import AsgiReply
from tristar.edge.request import BodyReader, Receive, Scope, Send
from tristar.exchange import Exchange
from tristar.relay.departure import Departure, apart


class Answer(Reply, Protocol):
    """A `Reply` that can tell whether anything of it has left."""

    begun: bool


class Visit(Protocol):
    """A request whose head has arrived; one task serves it."""

    method: str
    path: str
    """Decoded, without the query."""
    headers: Headers
    """Names are lower case."""

    @property
    def client(self) -> str | None:
        """The peer's address; None where there is none, as on a Unix socket."""
        ...

    def reply(self, exchange: Exchange) -> Answer:
        """The way back, whose answers carry the exchange's ids; asked for once."""
        ...

    async def body(self, declared_bytes: int | None, limit_bytes: int) -> bytes:
        """The whole body; from its end on the reply's `departure` tells when the client leaves.

        Raises:
            BodyTooLarge: it exceeds, or is declared to exceed, the bound.
            BadRequest: its framing is broken, or it comes too slowly.
            ClientGone: the client left before its end.
        """
        ...

    def asgi(self) -> tuple[Scope, Receive, Send]:
        """The same request for an ASGI application, which then answers it in place of `reply`."""
        ...


class AsgiVisit:
    """See `Visit`; a request from any ASGI server."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None
        self._departure = apart(asyncio.get_running_loop())
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.client: str | None = scope["client"][0] if scope.get("client") else None
        self.headers: Headers = list(scope["headers"])

    def reply(self, exchange: Exchange) -> AsgiReply:
        """See `Visit.reply`."""
        return AsgiReply(self._send, exchange, self._departure)

    async def body(self, declared_bytes: int | None, limit_bytes: int) -> bytes:
        """See `Visit.body`."""
        body = await BodyReader(self._receive, declared_bytes, limit_bytes).read()
        self._watch = asyncio.create_task(_watch(self._receive, self._departure))
        return body

    def asgi(self) -> tuple[Scope, Receive, Send]:
        """See `Visit.asgi`."""
        return self._scope, self._receive, self._send

    def leave(self) -> None:
        """The task that serves it is done with it."""
        if self._watch is not None:
            self._watch.cancel()


async def _watch(receive: Receive, departure: Departure) -> None:
    """Wait for the client to leave: ASGI tells only those who ask."""
    while (await receive())["type"] != "http.disconnect":
        pass
    departure.announce()
