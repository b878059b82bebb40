"""The busiest control routes, served in front of FastAPI, which describes them and refuses for them.

Its routing, dependencies and models cost more than a search by words. So a request that is plainly good is
answered here; whatever is not goes on to FastAPI as it came, which finds the same and says it in its words.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from tristar.auth.actor import Actor
from tristar.auth.scopes import Scope as KeyScope
from tristar.edge.access import ACTOR, EXCHANGE
from tristar.edge.control import refusal
from tristar.edge.request import Message, Receive, Scope, Send
from tristar.errors import GatewayError
from tristar.exchange import Exchange

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
Asked = TypeVar("Asked", bound=BaseModel)

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValidationError)


@dataclass(frozen=True)
class Route(Generic[Asked]):
    """One route: what is asked, read as FastAPI reads it, and how it is answered.

    A query's fields are the model's; those in `lists` may come several times. `answer` raises what the route
    does behind FastAPI.
    """

    method: str
    path_format: str
    needs: KeyScope
    model: type[Asked]
    answer: Callable[[Asked, Actor, Exchange], Awaitable[Response]]
    lists: frozenset[str] = frozenset()

    @property
    def has_body(self) -> bool:
        """Whether what is asked comes in a body."""
        return self.method == "POST"

    def read(self, scope: Scope, body: bytes) -> Asked | None:
        """What is asked; None: it is for FastAPI to say what is wrong."""
        try:
            if not self.has_body:
                return self.model.model_validate(self._fields(scope["query_string"]))
            if not _is_json(scope) or scope["query_string"]:
                return None
            return self.model.model_validate(msgspec.json.decode(body))
        except _UNREADABLE:
            return None

    def _fields(self, query: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            if name in self.lists:
                fields.setdefault(name, []).append(value)
            else:
                fields[name] = value
        return fields


class Direct:
    """The ASGI application: these routes, and `app` for everything else."""

    def __init__(self, routes: Sequence[Route[Any]], app: ASGIApp) -> None:
        self._routes: Mapping[tuple[str, str], Route[Any]] = {
            (route.method, route.path_format): route for route in routes
        }
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        route = self._routes.get((scope.get("method", ""), scope.get("path", "")))
        if route is None or not scope[ACTOR].allows(route.needs):
            await self._app(scope, receive, send)
            return
        body = await _whole(receive) if route.has_body else b""
        asked = route.read(scope, body)
        if asked is None:
            await self._app(scope, _Again(body, receive) if route.has_body else receive, send)
            return
        scope["route"] = route
        exchange: Exchange = scope[EXCHANGE]
        try:
            response = await route.answer(asked, scope[ACTOR], exchange)
        except GatewayError as error:
            exchange.refusal = error
            response = refusal(error)
        await response(scope, receive, send)  # type: ignore[arg-type]  # it hears nothing


class _Again:
    """A `receive` that gives a body once more that was read already."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


async def _whole(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _is_json(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.partition(b";")[0].strip().lower() == b"application/json"
        for name, value in scope["headers"]
    )
