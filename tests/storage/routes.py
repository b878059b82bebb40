"""The control application around one router, as the front would call it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import APIRouter
from starlette.types import Receive, Scope, Send

from tristar.auth.actor import ANONYMOUS, Actor
from tristar.edge.access import ACTOR, EXCHANGE, Events
from tristar.edge.control import control_app
from tristar.edge.direct import ASGIApp, Direct, Route
from tristar.exchange import Exchange

TRACE_ID = "ab" * 16


@dataclass(frozen=True)
class Answer:
    """What the client got."""

    status: int
    text: str
    headers: Mapping[str, str]
    json: dict[str, Any]
    """The body, read as JSON; empty where there is none."""


@dataclass
class Control:
    """A client of the routes, as `actor`, and what they recorded."""

    make: Callable[[Events], APIRouter]
    actor: Actor = ANONYMOUS
    recorded: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    fails: Exception | None = None
    """Raised by the next record, as when the audit log is full."""
    direct: Callable[[Events], Sequence[Route[Any]]] | None = None
    """What is served in front of FastAPI."""

    def __post_init__(self) -> None:
        self.app = control_app("0", [self.make(self)])
        self._served: ASGIApp = self.app
        if self.direct is not None:
            self._served = Direct(self.direct(self), self.app)

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange,
        level: str = "INFO",
    ) -> None:
        """See `Events.record`."""
        assert exchange.trace_id == TRACE_ID
        assert level == "INFO"
        if self.fails:
            raise self.fails
        self.recorded.append((action, resource, json.loads(json.dumps(details))))

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        parse: bool = True,
    ) -> Answer:
        """One request; `body` of bytes is sent as it is, anything else as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"content-type": "application/json"} if body is not None else {}
        transport = httpx.ASGITransport(self._front)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.request(method, path, content=content, headers=sent | dict(headers or {}))
        told = json.loads(answer.text) if parse and answer.text else {}
        return Answer(answer.status_code, answer.text, answer.headers, told)

    async def _front(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(
            method=scope["method"],
            resource=scope["path"],
            endpoint=scope["path"],
            started=0,
            started_at=0,
            audited=True,
            trace_id=TRACE_ID,
        )
        await self._served({**scope, ACTOR: self.actor, EXCHANGE: exchange}, receive, send)


def control_of(make: Callable[[Events], APIRouter]) -> Control:
    """The routes that `make` gives when handed the place to record to."""
    return Control(make)
