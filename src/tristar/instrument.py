"""HTTP metrics, `/metrics` and audit records for an application that is not the gateway, in one line."""

import asyncio
import contextlib
import hmac
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from tristar.auth.address import is_loopback
from tristar.clock import Clock, SystemClock
from tristar.edge.closing import ClosingSend
from tristar.edge.envelope import body_of, headers_of
from tristar.edge.front import CLIENT_GONE_STATUS, ASGIApp
from tristar.edge.reply import AsgiReply
from tristar.edge.request import UNMATCHED, Incoming, Message, Receive, Scope, Send, begin_exchange
from tristar.edge.visit import AsgiVisit
from tristar.errors import Forbidden, GatewayError, MethodNotAllowed, NoRecord, TriStarError
from tristar.exchange import Exchange, Ids, Outcome
from tristar.ledger import Ledger
from tristar.seat import Place, Seat
from tristar.settings import Settings, check_directories, load

App = TypeVar("App", bound=Callable[..., Any])
WhoAsks = Callable[[Scope], str | None]
"""Names the user of a finished request for its record; the scope holds what the application put there."""

_MARK: Final = "tristar_is_instrumented"

_log = structlog.get_logger("tristar")


def instrument(app: App, *, user: WhoAsks | None = None) -> App:
    """Give an application the HTTP metrics, `METRICS_PATH` and an audit record of each request.

    Call it once, before the server starts; returns the application to serve: a FastAPI or Starlette one
    itself, any other ASGI 3 application wrapped. Settings are the gateway's (environment, `.env`,
    `tristar.toml`), read when the server starts the application; a bad one stops the start. The server has to
    run lifespan events. Several processes share one log and one set of books as long as they share
    `AUDIT_LOG_DIR`. Websockets pass through unseen.

    Raises:
        ValueError: it was instrumented before.
    """
    if getattr(app, _MARK, False):
        raise ValueError("The application is instrumented already; every request would be counted twice.")
    add = getattr(app, "add_middleware", None)
    if add is None:
        return Instrument(app, user=user)  # type: ignore[return-value]  # as good an ASGI application as it was
    setattr(app, _MARK, True)
    add(Instrument, routes=lambda: app.routes, user=user)  # type: ignore[attr-defined]  # Starlette's
    return app


class Instrument:
    """ASGI middleware around one application; see `instrument`. `routes` gives Starlette's routes."""

    tristar_is_instrumented = True

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Callable[[], Iterable[Any]] = tuple,
        user: WhoAsks | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._app = app
        self._routes = routes
        self._user = user
        self._clock = clock or SystemClock()
        self._ids = Ids()
        self._seat: Seat | None = None
        self._settings: Settings | None = None
        self._is_warned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._seat is None or self._settings is None:
            self._warn()
            await self._app(scope, receive, send)
        else:
            await self._serve(self._seat, self._settings, scope, receive, send)

    # -- life ------------------------------------------------------------------

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._start()
        except TriStarError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return

        async def sending(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._stop()
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            await self._stop()

    async def _start(self) -> None:
        settings = await asyncio.to_thread(load, os.environ, Path.cwd())
        check_directories(settings)
        seat = Seat(settings, self._clock)
        await seat.take()
        self._seat, self._settings = seat, settings

    async def _stop(self) -> None:
        seat, self._seat = self._seat, None
        if seat is not None:
            await seat.leave()

    def _warn(self) -> None:
        if not self._is_warned:
            self._is_warned = True
            _log.warning("nothing is measured or recorded: the server runs no lifespan events")

    # -- requests --------------------------------------------------------------

    async def _serve(
        self, seat: Seat, settings: Settings, scope: Scope, receive: Receive, send: Send
    ) -> None:
        incoming = Incoming.of(list(scope["headers"]))
        visit = AsgiVisit(scope, receive, send)
        exchange = begin_exchange(visit, incoming, UNMATCHED, self._clock, self._ids)
        reply = visit.reply(exchange)
        try:
            place = await seat.place()
        except GatewayError as error:
            await reply.whole(error.status, headers_of(error), body_of(error))
            return
        is_scrape = place.scraper is not None and scope["path"] == place.scraper.path
        try:
            if place.scraper is not None and is_scrape:
                exchange.endpoint = place.scraper.path
                await self._scrape(place, scope, incoming, reply, settings.auth.admin_key)
                return
            exchange.audited = True
            place.ledger.check()
            place.ledger.begin(exchange)
        except GatewayError as error:
            await _close(place.ledger, exchange, error.status)
            await reply.whole(error.status, headers_of(error), body_of(error))
            return
        await self._measure(place.ledger, exchange, scope, receive, send)

    async def _scrape(
        self, place: Place, scope: Scope, incoming: Incoming, reply: AsgiReply, admin_key: str | None
    ) -> None:
        assert place.scraper is not None  # noqa: S101 - looked at by the caller
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed(f"{place.scraper.path} takes GET.", allow="GET, HEAD")
        if not _may_scrape(scope, incoming, admin_key):
            raise Forbidden("The metrics are for this machine, or for the bearer of TRISTAR_ADMIN_KEY.")
        body, kind = await place.scraper.scrape(incoming.accept)
        await _close(place.ledger, reply.exchange, 200)
        await reply.whole(200, [(b"content-type", kind.encode())], body)

    async def _measure(
        self, ledger: Ledger, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        is_gone = False
        root = scope.get("root_path", "")

        async def receiving() -> Message:
            nonlocal is_gone
            message = await receive()
            is_gone = is_gone or message["type"] == "http.disconnect"
            return message

        def endpoint_of(ended: Scope) -> str:
            exchange.actor = None if self._user is None else self._user(ended)
            return template(ended, root, self._routes())

        ending = ClosingSend(ledger.close, endpoint_of, scope, exchange, send)
        try:
            await self._app(scope, receiving, ending)
        except BaseException as error:
            if not ending.finished:
                exchange.endpoint = endpoint_of(scope)
                left = is_gone or isinstance(error, asyncio.CancelledError)
                exchange.details = {"error": type(error).__name__}
                await _close(ledger, exchange, CLIENT_GONE_STATUS if left else 500)
            raise
        if not ending.finished:
            exchange.endpoint = endpoint_of(scope)
            await _close(ledger, exchange, CLIENT_GONE_STATUS if is_gone else 500)


def template(scope: Scope, root: str, routes: Iterable[Any]) -> str:
    """The template of the route that served a scope which came in under `root`; `_unmatched` if none did."""
    named = getattr(scope.get("route"), "path_format", None)
    if named is not None and scope.get("root_path", "") == root:
        return str(named)
    if scope.get("endpoint") is None:
        return UNMATCHED
    return _walk(routes, {**scope, "root_path": root, "path_params": {}}) or UNMATCHED


def _walk(routes: Iterable[Any], scope: Scope) -> str | None:
    """The template by Starlette's own matching, through mounted applications; None where nothing matches."""
    for route in routes:
        match, child = route.matches(scope)
        if not match.value:
            continue
        if not hasattr(route, "routes"):
            return str(getattr(route, "path_format", UNMATCHED))
        below = _walk(route.routes or (), {**scope, **child})
        return str(getattr(route, "path", "")) + (below or "/{path}")
    return None


def _may_scrape(scope: Scope, incoming: Incoming, admin_key: str | None) -> bool:
    client = scope.get("client")
    if is_loopback(client[0] if client else None):
        return True
    given = (incoming.key or "").encode()
    return admin_key is not None and hmac.compare_digest(given, admin_key.encode())


async def _close(ledger: Ledger, exchange: Exchange, status: int) -> None:
    """Close what does not end with an answer that could be held back."""
    outcome: Outcome = "success"
    if status == CLIENT_GONE_STATUS:
        outcome = "cancelled"
    elif status >= 400:
        outcome = "refused" if status < 500 else "error"
    if status >= 500:
        exchange.log_level = "ERROR"
    with contextlib.suppress(NoRecord):  # counted as lost; what the client is told is settled already
        await ledger.close(exchange, status, outcome)
