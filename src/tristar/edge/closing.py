"""The last piece of an answer waits for its record: the end of every request that is no llm call."""

import asyncio
from collections.abc import Awaitable, Callable

from tristar.edge.envelope import body_of, headers_of
from tristar.edge.guards import Headers, completed
from tristar.edge.reply import AsgiReply, common_headers
from tristar.edge.request import UNMATCHED, Message, Scope, Send
from tristar.errors import GatewayError, NoRecord, UpstreamFailed
from tristar.exchange import Exchange, Outcome
from tristar.relay.departure import apart

Close = Callable[[Exchange, int, Outcome], Awaitable[None]]
"""Closes the exchange with the status sent; raises `NoRecord` if its answer must not leave."""


def template(scope: Scope) -> str:
    """The template of the route that FastAPI chose; `_unmatched` where it chose none."""
    return str(getattr(scope.get("route"), "path_format", UNMATCHED))


def describe(exchange: Exchange, error: GatewayError) -> None:
    """What the record says of an error beside its status."""
    if error.status >= 500:
        exchange.log_level = "ERROR"
    if isinstance(error, UpstreamFailed):
        if error.error_type in {"rate_limited", "quota"}:
            exchange.rejected_by, exchange.rejected_scope = "provider", "llm"
        return
    exchange.details = {"error": error.code, **(exchange.details or {})}


class ClosingSend:
    """A `send` that holds the start back until the first piece, and the last piece until the record.

    `endpoint_of` names the route once the application has answered; `guards` are headers that an answer has
    unless it says otherwise itself.
    """

    def __init__(
        self,
        close: Close,
        endpoint_of: Callable[[Scope], str],
        scope: Scope,
        exchange: Exchange,
        send: Send,
        *,
        guards: Headers | None = None,
    ) -> None:
        self._close = close
        self._endpoint_of = endpoint_of
        self._scope = scope
        self._exchange = exchange
        self._send = send
        self._guards = guards or []
        self._start: Message | None = None
        self._status = 500
        self.begun = False
        self.finished = False

    async def __call__(self, message: Message) -> None:
        """See the ASGI specification, `send`."""
        if message["type"] == "http.response.start":
            self._start = message
            self._status = message["status"]
            return
        if message["type"] != "http.response.body":  # trailers and other extensions
            await self._send(message)
            return
        if message.get("more_body"):
            await self._begin()
            await self._send(message)
            return
        await self._finish(message)

    async def _finish(self, message: Message) -> None:
        self._exchange.endpoint = self._endpoint_of(self._scope)
        status = self._status
        outcome: Outcome = "success" if status < 400 else "refused" if status < 500 else "error"
        self.finished = True
        try:
            await self._close(self._exchange, status, outcome)
        except NoRecord as error:
            await self._withhold(error)
            return
        await self._begin()
        await self._send(message)

    async def _withhold(self, error: NoRecord) -> None:
        """The answer may not leave: 503 in its place, or a visibly broken connection."""
        if self.begun:
            raise ConnectionAbortedError(error.message)
        reply = AsgiReply(self._send, self._exchange, apart(asyncio.get_running_loop()))
        await reply.whole(error.status, headers_of(error), body_of(error))

    async def _begin(self) -> None:
        start, self._start = self._start, None
        if start is None:
            return
        self.begun = True
        said = completed(list(start.get("headers", ())), self._guards)
        headers = [*said, *common_headers(self._exchange)]
        await self._send({**start, "headers": headers})
