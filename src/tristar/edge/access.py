"""What the control routes share: who calls, with which scope, and how a refusal looks.

Before a route is reached, the front has put the caller (`tristar.actor`) and the request's
story (`tristar.exchange`) into the ASGI scope.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fastapi import Request
from pydantic import BaseModel, Field

from tristar.auth.actor import Actor
from tristar.auth.scopes import Scope
from tristar.errors import Forbidden
from tristar.exchange import Exchange

ACTOR = "tristar.actor"
EXCHANGE = "tristar.exchange"
RECHECK = "tristar.recheck"
"""Asks again who the caller is, for answers that take long; raises once the key is good no more."""


class Events(Protocol):
    """Where the control routes record what they did."""

    async def record(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        exchange: Exchange,
        level: str = "INFO",
    ) -> None:
        """Record one action of this request; durable, in strict mode, once it returns.

        Raises:
            NoRecord: it cannot be recorded.
        """
        ...


class ErrorBody(BaseModel):
    """What went wrong, and what the client should do."""

    message: str = Field(description="For a person; says what to do next.")
    type: str = Field(description="The family of the error.", examples=["invalid_request_error"])
    code: str = Field(description="The error, for a program.", examples=["not_found"])
    param: str | None = Field(default=None, description="The field at fault, where there is one.")


class ErrorEnvelope(BaseModel):
    """Every refusal has this shape."""

    error: ErrorBody


_STATUS_TEXTS = {
    400: "The request is malformed, or a field is out of its range; `param` names it.",
    401: "No API key, or not a good one.",
    403: "The key lacks the scope, or the project.",
    404: "There is nothing of that id.",
    409: "It changed meanwhile; nothing was written.",
    412: "It is not at the version that `If-Match` names; nothing was written.",
    413: "The body is larger than this gateway takes.",
    429: "The key has spent its allowance; see `Retry-After`.",
    503: "The database or the audit log cannot be reached; see `Retry-After`.",
}
_ALWAYS = (400, 401, 403, 413, 429, 503)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: those that any route can give, and these."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorEnvelope, "description": _STATUS_TEXTS[status]}
        for status in sorted({*_ALWAYS, *statuses})
    }
    return documented | {"default": {"model": ErrorEnvelope, "description": "Any other refusal."}}


def requires(scope: Scope) -> Callable[[Request], Awaitable[Actor]]:
    """A dependency that lets pass only callers with this scope, and names them.

    Raises (the dependency):
        Forbidden: the caller lacks the scope.
    """

    async def actor(request: Request) -> Actor:
        caller: Actor = request.scope[ACTOR]
        if not caller.allows(scope):
            raise Forbidden(f"This needs the scope {scope!r}, which the key does not have.")
        return caller

    return actor


async def exchange(request: Request) -> Exchange:
    """A dependency: the story of this request."""
    story: Exchange = request.scope[EXCHANGE]
    return story
