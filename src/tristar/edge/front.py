"""The first and the last thing that a request meets: one exchange each, closed exactly once.

LLM routes are served here, in front of FastAPI's router, which serves everything else. Both ways
end the same: the record is durable before the last byte leaves.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from tristar.auth.actor import ANONYMOUS, Actor
from tristar.auth.address import Proxies, is_here
from tristar.auth.gate import Gate, KeyRefused
from tristar.auth.throttle import Throttle
from tristar.clock import Clock
from tristar.corridor import Asked, Headers, Reply, upstream_headers
from tristar.edge.closing import ClosingSend, describe, template
from tristar.edge.cors import Origins
from tristar.edge.doorman import Doorman
from tristar.edge.envelope import headers_of
from tristar.edge.guards import Guards
from tristar.edge.reply import AsgiReply
from tristar.edge.request import (
    UNMATCHED,
    BodyReader,
    Incoming,
    Receive,
    Scope,
    Send,
    begin_exchange,
    check_path,
)
from tristar.edge.visit import Answer, AsgiVisit, Visit
from tristar.errors import (
    Forbidden,
    GatewayError,
    LoginsThrottled,
    MethodNotAllowed,
    NoRecord,
    Unavailable,
)
from tristar.exchange import Exchange, Ids, Outcome
from tristar.ledger import Ledger
from tristar.providers.openai.errors import OPENAI_ERRORS
from tristar.providers.surface import Surface
from tristar.relay.departure import ClientGone, apart

CLIENT_GONE_STATUS = 499
BROKEN_STREAM_STATUS = 502
OPEN_PATHS = ("/health/", "/console/")
CONSOLE = "/console"
PREFLIGHT = "_preflight"
"""The endpoint of browsers' questions whether a page may call: counted, not audited."""

THROTTLED = "_throttled"
"""The endpoint of requests that are refused for the failed logins before them: counted, not audited."""
NO_HEADERS: Headers = []

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Endpoint:
    """What serves a path of llm calls, and the surface whose errors its clients understand."""

    serve: Callable[[Asked, Reply], Awaitable[None]]
    surface: Surface


_log = structlog.get_logger("tristar.edge")


class Scraper(Protocol):
    """Where the metrics page comes from."""

    path: str

    async def scrape(self, accept: str | None) -> tuple[bytes, str]:
        """Body and content type of one scrape; every request answered before is in it."""
        ...


class Front:
    """The ASGI application. `endpoints` maps a path to what serves it in front of `control`.

    `require` raises where none of these may be served now.
    """

    def __init__(
        self,
        *,
        gate: Gate,
        throttle: Throttle,
        proxies: Proxies,
        origins: Sequence[str],
        guards: Guards,
        ledger: Ledger,
        clock: Clock,
        endpoints: Mapping[str, Endpoint],
        control: ASGIApp,
        scraper: Scraper | None,
        require: Callable[[], None],
        max_body_bytes: int,
        deadline_s: float,
    ) -> None:
        self._gate = gate
        self._throttle = throttle
        self._proxies = proxies
        self._origins = Origins(origins)
        self._guards = guards
        self._ledger = ledger
        self._clock = clock
        self._ids = Ids()
        self._endpoints = endpoints
        self._control = control
        self._scraper = scraper
        self._require = require
        self._max_body_bytes = max_body_bytes
        self._deadline_s = deadline_s
        self._doorman = Doorman(ledger, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] != "http":
            await self._control(scope, receive, send)
            return
        visit = AsgiVisit(scope, receive, send)
        try:
            await self.serve(visit)
        finally:
            visit.leave()

    def serve(self, visit: Visit) -> Awaitable[None]:
        """Answer one request; whatever happens, its exchange is closed.

        Raises:
            Exception: a defect of ours after output was sent: the connection must break.
        """
        incoming = Incoming.of(visit.headers)
        if incoming.origin is not None:
            return self._serve_page(visit, incoming)
        endpoint = self._endpoints.get(visit.path)
        if endpoint is not None:  # as nearly always: one frame less
            return self._serve_llm(endpoint, visit, incoming)
        return self._serve(visit, incoming)

    async def _serve_page(self, visit: Visit, incoming: Incoming) -> None:
        """A request that a page makes in a browser."""
        if not await self._told_browser(visit, incoming):
            await self._serve(visit, incoming)

    def _serve(self, visit: Visit, incoming: Incoming) -> Awaitable[None]:
        endpoint = self._endpoints.get(visit.path)
        if endpoint is not None:
            return self._serve_llm(endpoint, visit, incoming)
        if self._scraper is not None and visit.path == self._scraper.path:
            return self._serve_scrape(self._scraper, visit, incoming)
        return self._serve_control(visit, incoming)

    def _begin(self, visit: Visit, incoming: Incoming, endpoint: str) -> Exchange:
        exchange = begin_exchange(visit, incoming, endpoint, self._clock, self._ids)
        incoming.peer = exchange.ip_address
        if incoming.forwarded is not None:
            said = [value for name, value in incoming.forwarded if name == self._proxies.header]
            exchange.ip_address = self._proxies.client(incoming.peer, said)
        if incoming.origin is not None:
            exchange.readable_by = self._origins.allowed(incoming.origin)
        return exchange

    async def _told_browser(self, visit: Visit, incoming: Incoming) -> bool:
        """Answer a browser's question whether a page may call, before it has a key; False: it is none."""
        try:
            headers = self._origins.preflight(visit.method, visit.headers)
        except Forbidden as error:
            exchange = self._begin_preflight(visit, incoming)
            await self._refuse(exchange, visit.reply(exchange), error)
            return True
        if headers is None:
            return False
        exchange = self._begin_preflight(visit, incoming)
        await self._ledger.close(exchange, 204, "success")
        await visit.reply(exchange).whole(204, headers, b"")
        return True

    def _begin_preflight(self, visit: Visit, incoming: Incoming) -> Exchange:
        exchange = self._begin(visit, incoming, PREFLIGHT)
        exchange.audited = False
        return exchange

    # -- llm routes ------------------------------------------------------------

    async def _serve_llm(self, endpoint: Endpoint, visit: Visit, incoming: Incoming) -> None:
        exchange = self._begin(visit, incoming, visit.path)
        exchange.action = "llm_call"
        reply = visit.reply(exchange)
        try:
            actor = await self._identify(exchange, incoming)
            self._ledger.begin(exchange)
            if visit.method != "POST":
                raise MethodNotAllowed(f"{visit.path} takes POST.", allow="POST")  # noqa: TRY301 - closed below
            if not actor.allows("chat"):
                raise Forbidden("This key lacks the scope `chat`.")  # noqa: TRY301 - the same
            self._require()
            body = await visit.body(incoming.content_length, self._max_body_bytes)
            await endpoint.serve(self._asked(exchange, actor, body, incoming), reply)
        except ClientGone:
            await self._depart(exchange)
        except GatewayError as error:
            await self._refuse(exchange, reply, error, endpoint.surface)
        except asyncio.CancelledError:
            await self._interrupt(exchange, reply, endpoint.surface)
        except Exception:  # noqa: BLE001 - the edge's last resort
            await self._break(exchange, reply, endpoint.surface)

    def _asked(self, exchange: Exchange, actor: Actor, body: bytes, incoming: Incoming) -> Asked:
        budget_s = self._deadline_s
        if incoming.timeout_s is not None:
            budget_s = min(budget_s, incoming.timeout_s)
        headers = upstream_headers(exchange)
        return Asked(
            exchange, actor, body, exchange.started + budget_s, headers, incoming.passed_on or NO_HEADERS
        )

    async def _identify(self, exchange: Exchange, incoming: Incoming) -> Actor:
        try:
            actor = self._authenticate(exchange, incoming)
        except KeyRefused as refused:
            exchange.log_level = "SECURITY"
            actor = await self._look_again(exchange, incoming, refused)
            exchange.log_level = "INFO"
        exchange.actor = actor.key_id
        if actor is not ANONYMOUS:
            self._doorman.admitted(exchange)
        return actor

    async def _look_again(self, exchange: Exchange, incoming: Incoming, refused: KeyRefused) -> Actor:
        """A key that is not good, as far as is known here: it may have been made a moment ago.

        Raises:
            KeyRefused: it is not good.
            LoginsThrottled: its address has sent too many of these. Such requests have no records of their
                own, so that nobody floods the log: one record counts them.
        """
        try:
            self._throttle.check(exchange.ip_address)
        except LoginsThrottled:
            exchange.auth_failure, exchange.endpoint = "throttled", THROTTLED
            exchange.audited, exchange.action = False, "request"
            raise
        try:
            if refused.reason != "unknown":
                raise refused
            return await self._gate.admit(incoming.key)
        except KeyRefused as final:
            self._throttle.failed(exchange.ip_address)
            exchange.auth_failure = final.reason
            raise

    def _authenticate(self, exchange: Exchange, incoming: Incoming) -> Actor:
        if self._gate.is_open and not is_here(incoming.peer, exchange.ip_address):
            raise KeyRefused(
                "missing"
            )  # open is for this machine alone, whatever a foreign server is bound to
        return self._gate.authenticate(incoming.key)

    # -- how an exchange ends --------------------------------------------------

    async def _depart(self, exchange: Exchange) -> None:
        if exchange.closed:
            return
        try:
            await self._ledger.close(exchange, CLIENT_GONE_STATUS, "cancelled")
        except NoRecord:
            return  # counted as lost; there is nobody left to tell

    async def _refuse(
        self, exchange: Exchange, reply: Answer, error: GatewayError, surface: Surface = OPENAI_ERRORS
    ) -> None:
        told = await self._close(exchange, error)
        await reply.whole(told.status, headers_of(told), surface.error_body(told, exchange.request_id))

    async def _close(self, exchange: Exchange, error: GatewayError) -> GatewayError:
        """Close with the error's status; what the client is told in the end."""
        if exchange.closed:
            return error
        describe(exchange, error)
        self._doorman.refused(exchange, error)
        outcome: Outcome = "refused" if error.status < 500 else "error"
        try:
            await self._ledger.close(exchange, error.status, outcome)
        except NoRecord as no_record:
            return no_record
        return error

    async def _interrupt(self, exchange: Exchange, reply: Answer, surface: Surface = OPENAI_ERRORS) -> None:
        """The drain time is over: the server cancels what still runs, and the client is told."""
        error = Unavailable("The gateway is shutting down; retry.", retry_after_s=1)
        if not reply.begun:
            await self._refuse(exchange, reply, error, surface)
            return
        error.status = BROKEN_STREAM_STATUS
        told = await self._close(exchange, error)
        event = surface.error_event(told, exchange.request_id)
        await reply.end(event if exchange.streamed else b"")

    async def _break(self, exchange: Exchange, reply: Answer, surface: Surface = OPENAI_ERRORS) -> None:
        """A defect of ours: 500 if nothing was sent, else the connection breaks visibly."""
        _log.exception("request failed")
        error = GatewayError(
            f"The gateway failed; its log has the details under {exchange.request_id}. Report it, then retry."
        )
        if reply.begun:
            await self._close(exchange, error)
            raise  # noqa: PLE0704 - called from an `except` only; the server then breaks the connection
        await self._refuse(exchange, reply, error, surface)

    async def close_control(self, exchange: Exchange, status: int, outcome: Outcome) -> None:
        """Close a control route's exchange; `NoRecord` if its answer must not leave."""
        if exchange.refusal is not None:
            self._doorman.refused(exchange, exchange.refusal)
        await self._ledger.close(exchange, status, outcome)

    # -- everything else -------------------------------------------------------

    async def _serve_scrape(self, scraper: Scraper, visit: Visit, incoming: Incoming) -> None:
        exchange = self._begin(visit, incoming, scraper.path)
        reply = visit.reply(exchange)
        try:
            await self._admit_scrape(visit, exchange, incoming)
            body, kind = await scraper.scrape(incoming.accept)
        except GatewayError as error:
            await self._refuse(exchange, reply, error)
            return
        await self._ledger.close(exchange, 200, "success")
        await reply.whole(200, [(b"content-type", kind.encode())], body)

    async def _admit_scrape(self, visit: Visit, exchange: Exchange, incoming: Incoming) -> None:
        if visit.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed(f"{visit.path} takes GET.", allow="GET, HEAD")
        if is_here(visit.client, exchange.ip_address):
            return
        actor = await self._identify(exchange, incoming)
        if not actor.allows("metrics"):
            raise Forbidden("This key lacks the scope `metrics`.")

    async def _serve_control(self, visit: Visit, incoming: Incoming) -> None:
        exchange = self._begin(visit, incoming, UNMATCHED)
        scope, receive, send = visit.asgi()
        scope["tristar.exchange"] = exchange
        reply = AsgiReply(send, exchange, apart(asyncio.get_running_loop()))
        guards = self._guards.headers(visit.path, secure=scope.get("scheme") == "https")
        closing = ClosingSend(self.close_control, template, scope, exchange, send, guards=guards)
        try:
            check_path(visit.path)
            if not visit.path.startswith(OPEN_PATHS) and visit.path != CONSOLE:
                scope["tristar.actor"] = await self._identify(exchange, incoming)
                scope["tristar.recheck"] = partial(self._authenticate, exchange, incoming)
            self._ledger.begin(exchange)
            if exchange.audited:
                self._ledger.check()  # nothing is changed that could not be recorded
            body = BodyReader(receive, incoming.content_length, self._max_body_bytes)
            await self._control(scope, body.receive, closing)
        except ClientGone:
            await self._depart(exchange)
        except GatewayError as error:
            await self._refuse(exchange, reply, error)
        except asyncio.CancelledError:
            reply.begun = closing.begun
            await self._interrupt(exchange, reply)
        except Exception:  # noqa: BLE001 - the edge's last resort
            reply.begun = closing.begun
            if not closing.finished:
                await self._break(exchange, reply)
