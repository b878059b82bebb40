"""`/admin/keys`: keys made, listed and revoked."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tristar.auth.actor import Actor, Limits
from tristar.auth.keys import Keys, NewKey, StoredKey
from tristar.auth.scopes import Scope, expand, parse
from tristar.auth.terms import microusd, shown, shown_by_llm
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.edge.keylimits import ByLlm, Count, LlmLimits, Usd, limits_by_llm
from tristar.errors import BadRequest, Forbidden
from tristar.exchange import Exchange, PromptPolicy

Name = Annotated[str, Field(min_length=1, max_length=128)]
Names = Annotated[list[Name], Field(min_length=1, max_length=1000)]


class KeyRequest(BaseModel):
    """The key to make. What is left out is not limited."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=128, description="For people: whose key, what for.")]
    scopes: list[Scope] = ["chat"]
    llms: Names | None = Field(
        default=None, description="The only llms it may use; `provider/*` for all of one."
    )
    projects: Names | None = Field(default=None, description="The only memory projects that it sees.")
    requests_per_minute: Count | None = Field(default=None, strict=True)
    tokens_per_minute: Count | None = Field(default=None, strict=True)
    max_concurrent: Count | None = Field(default=None, strict=True)
    budget_usd_per_day: Usd | None = Field(default=None, strict=True)
    budget_usd_per_month: Usd | None = Field(default=None, strict=True)
    allow_unpriced: bool = Field(
        default=False, strict=True, description="Under a budget: llms without a price too."
    )
    llm_limits: ByLlm | None = None
    expires_at: AwareDatetime | None = None
    prompt_policy: PromptPolicy | None = Field(
        default=None,
        description="What the audit log keeps of its prompts; the strictest of this and the llms' wins.",
    )


class KeyOut(BaseModel):
    """A key, without the key."""

    id: str
    name: str
    hint: str = Field(description="The last four characters.")
    scopes: list[Scope]
    llms: list[str] | None
    projects: list[str] | None
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_concurrent: int | None
    budget_usd_per_day: float | None
    budget_usd_per_month: float | None
    allow_unpriced: bool
    llm_limits: dict[str, LlmLimits] | None
    prompt_policy: PromptPolicy | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="At most a minute behind.")


class MadeKeyOut(KeyOut):
    """A new key."""

    key: str = Field(description="The key itself. It is shown this once and stored nowhere.")


class KeyList(BaseModel):
    """A page of keys, newest first, revoked and expired ones included."""

    data: list[KeyOut]
    next_cursor: str | None


Admin = Annotated[Actor, Depends(requires("admin"))]
Story = Annotated[Exchange, Depends(exchange)]


def router(keys: Keys, events: Events) -> APIRouter:
    """The routes of the keys. The front has authenticated the caller before they are reached."""
    routes = APIRouter(tags=["keys"])
    handlers = _KeyRoutes(keys, events)
    add = routes.add_api_route
    add(
        "/admin/keys",
        handlers.make,
        methods=["POST"],
        status_code=201,
        response_model=MadeKeyOut,
        responses=refusals(),
    )
    add("/admin/keys", handlers.listed, methods=["GET"], response_model=KeyList, responses=refusals())
    add("/admin/keys/{key_id}", handlers.revoke, methods=["DELETE"], status_code=204, responses=refusals(404))
    return routes


class _KeyRoutes:
    """The handlers; the key itself goes to its owner and nowhere else."""

    def __init__(self, keys: Keys, events: Events) -> None:
        self._keys = keys
        self._events = events

    async def make(self, body: KeyRequest, actor: Admin, story: Story) -> Response:
        """Make a key. Nobody grants a scope that they do not have."""
        new = _new_key(body)
        beyond = sorted(expand(new.scopes) - actor.scopes)
        if beyond:
            raise Forbidden(
                f"Your own key lacks the scope {beyond[0]!r}, so it cannot grant it.", param="scopes"
            )
        made = await self._keys.make(new, actor.key_id)
        await self._events.record("key_created", f"/admin/keys/{made.stored.id}", _trail(made.stored), story)
        return _answer(_shown(made.stored) | {"key": made.secret}, 201)

    async def listed(
        self,
        _actor: Admin,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Keys, newest first."""
        page = await self._keys.page(limit, cursor)
        return _answer({"data": [_shown(key) for key in page.keys], "next_cursor": page.next_cursor})

    async def revoke(self, key_id: str, _actor: Admin, story: Story) -> Response:
        """Revoke a key: within 2 s it is refused everywhere. Doing so again changes nothing."""
        revoked = await self._keys.revoke(key_id)
        await self._events.record("key_revoked", f"/admin/keys/{key_id}", _trail(revoked), story)
        return Response(status_code=204)


def _new_key(body: KeyRequest) -> NewKey:
    for param, names in (("name", [body.name]), ("llms", body.llms), ("projects", body.projects)):
        if not all(name.isprintable() and name == name.strip() for name in names or ()):
            raise BadRequest(f"{param} must be printable, without spaces around it.", param=param)
    return NewKey(
        name=body.name,
        scopes=parse(body.scopes),
        llms=None if body.llms is None else tuple(body.llms),
        projects=None if body.projects is None else tuple(body.projects),
        limits=Limits(
            requests_per_minute=body.requests_per_minute,
            tokens_per_minute=body.tokens_per_minute,
            max_concurrent=body.max_concurrent,
            budget_day_microusd=microusd(body.budget_usd_per_day),
            budget_month_microusd=microusd(body.budget_usd_per_month),
            allow_unpriced=body.allow_unpriced,
        ),
        expires_at=None if body.expires_at is None else body.expires_at.timestamp(),
        prompt_policy=body.prompt_policy,
        llm_limits=limits_by_llm(body.llm_limits, allow_unpriced=body.allow_unpriced),
    )


def _trail(key: StoredKey) -> dict[str, object]:
    """What the audit log keeps of a key."""
    return {
        "key_id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "expires_at": _moment(key.expires_at),
        "prompt_policy": key.prompt_policy,
    }


def _shown(key: StoredKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "scopes": key.scopes,
        "llms": key.llms,
        "projects": key.projects,
        **shown(key.limits),
        "allow_unpriced": key.limits.allow_unpriced,
        "llm_limits": shown_by_llm(key.llm_limits),
        "prompt_policy": key.prompt_policy,
        "created_at": _moment(key.created_at),
        "created_by": key.created_by,
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "last_used_at": _moment(key.last_used_at),
    }


def _moment(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    )


def _answer(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
