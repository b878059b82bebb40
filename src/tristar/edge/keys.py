"""`/admin/keys`: keys made, listed, changed, rotated and revoked."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tristar.auth.actor import Actor, Limits
from tristar.auth.grants import check_grant
from tristar.auth.keys import Keys, NewKey, StoredKey, terms_of, with_limits
from tristar.auth.outline import outline, trail
from tristar.auth.scopes import Scope, parse
from tristar.auth.terms import microusd
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.edge.keylimits import ByLlm, Count, LlmLimits, Usd, limits_by_llm
from tristar.errors import BadRequest, NoRecord
from tristar.exchange import Exchange, PromptPolicy

Name = Annotated[str, Field(min_length=1, max_length=128)]
Names = Annotated[list[Name], Field(min_length=1, max_length=1000)]


OVERLAP_LIMIT_S = 30 * 86_400.0

_DIRECT = ("name", "scopes", "llms", "projects", "llm_limits", "expires_at", "prompt_policy")
_LIMITS = {
    "requests_per_minute": "requests_per_minute",
    "tokens_per_minute": "tokens_per_minute",
    "max_concurrent": "max_concurrent",
    "budget_usd_per_day": "budget_day_microusd",
    "budget_usd_per_month": "budget_month_microusd",
    "allow_unpriced": "allow_unpriced",
}
"""What a change says of limits, and what it is called in `Limits`."""


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


class KeyChange(BaseModel):
    """What is to be different; what is left out stays. `null` takes a limit or restriction away."""

    model_config = ConfigDict(extra="forbid")

    # Without defaults of their own: these cannot be taken away.
    name: Name = Field(default_factory=str)
    scopes: list[Scope] = Field(default_factory=list)
    llms: Names | None = None
    projects: Names | None = None
    requests_per_minute: Count | None = Field(default=None, strict=True)
    tokens_per_minute: Count | None = Field(default=None, strict=True)
    max_concurrent: Count | None = Field(default=None, strict=True)
    budget_usd_per_day: Usd | None = Field(default=None, strict=True)
    budget_usd_per_month: Usd | None = Field(default=None, strict=True)
    allow_unpriced: bool = Field(default_factory=bool, strict=True)
    llm_limits: ByLlm | None = None
    expires_at: AwareDatetime | None = None
    prompt_policy: PromptPolicy | None = None


class Rotation(BaseModel):
    """How a key is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_LIMIT_S, allow_inf_nan=False)] = Field(
        default=3600.0, strict=True, description="How long the present key works on; 0 ends it at once."
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
    former_until: datetime | None = Field(
        description="Until when the key before the last rotation works beside this one; may be past."
    )


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
    one = "/admin/keys/{key_id}"
    add(one, handlers.shown, methods=["GET"], response_model=KeyOut, responses=refusals(404))
    add(one, handlers.change, methods=["PATCH"], response_model=KeyOut, responses=refusals(404, 409))
    add(
        one + "/rotate",
        handlers.rotate,
        methods=["POST"],
        response_model=MadeKeyOut,
        responses=refusals(404, 409),
    )
    add("/admin/keys/{key_id}", handlers.revoke, methods=["DELETE"], status_code=204, responses=refusals(404))
    return routes


class _KeyRoutes:
    """The handlers; the key itself goes to its owner and nowhere else."""

    def __init__(self, keys: Keys, events: Events) -> None:
        self._keys = keys
        self._events = events

    async def make(self, body: KeyRequest, actor: Admin, story: Story) -> Response:
        """Make a key. Nobody grants what they do not have: a scope, an llm, a project."""
        new = _new_key(body)
        check_grant(new, actor)
        made = await self._keys.make(new, actor.key_id)
        await self._events.record("key_created", f"/admin/keys/{made.stored.id}", trail(made.stored), story)
        return _answer(outline(made.stored) | {"key": made.secret}, 201)

    async def listed(
        self,
        _actor: Admin,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
    ) -> Response:
        """Keys, newest first."""
        page = await self._keys.page(limit, cursor)
        return _answer({"data": [outline(key) for key in page.keys], "next_cursor": page.next_cursor})

    async def shown(self, key_id: str, _actor: Admin) -> Response:
        """One key."""
        return _answer(outline(await self._keys.one(key_id)))

    async def change(self, key_id: str, body: KeyChange, actor: Admin, story: Story) -> Response:
        """Change a key's terms: within 2 s they hold everywhere. The key itself stays.

        Nobody changes a key that may do more than their own, or makes it so.
        """
        told = body.model_dump(exclude_unset=True)

        def edit(before: StoredKey) -> NewKey:
            check_grant(before, actor)
            after = _changed(before, body, told)
            check_grant(after, actor)
            return after

        changed = await self._keys.change(key_id, edit)
        details = trail(changed.after) | {"changed": sorted(told)}
        await self._record_update(changed.before, details, story)
        return _answer(outline(changed.after))

    async def rotate(self, key_id: str, body: Rotation, actor: Admin, story: Story) -> Response:
        """Replace a key: the new one works at once, the present one for `overlap_s` more.

        Id, terms, use and budgets stay. A key that overlapped before ends now. Nobody rotates a key that may
        do more than their own.
        """
        made = await self._keys.rotate(key_id, body.overlap_s, lambda before: check_grant(before, actor))
        assert made.before is not None  # noqa: S101 - it was rotated
        details = trail(made.stored) | {"changed": ["key"], "overlap_s": body.overlap_s}
        await self._record_update(made.before, details, story)
        return _answer(outline(made.stored) | {"key": made.secret})

    async def _record_update(self, before: StoredKey, details: Mapping[str, object], story: Exchange) -> None:
        """Record a change; one that cannot be recorded is undone."""
        try:
            await self._events.record("key_updated", f"/admin/keys/{before.id}", details, story)
        except NoRecord:
            await self._keys.put_back(before)
            raise

    async def revoke(self, key_id: str, _actor: Admin, story: Story) -> Response:
        """Revoke a key: within 2 s it is refused everywhere. Doing so again changes nothing."""
        revoked = await self._keys.revoke(key_id)
        await self._events.record("key_revoked", f"/admin/keys/{key_id}", trail(revoked), story)
        return Response(status_code=204)


def _changed(before: StoredKey, body: KeyChange, told: Mapping[str, object]) -> NewKey:
    """The terms of a key after a change."""
    asked = _new_key(KeyRequest(**{"name": before.name, **_given(body, told)}))
    limits = {name: getattr(asked.limits, name) for told_as, name in _LIMITS.items() if told_as in told}
    direct = {name: getattr(asked, name) for name in _DIRECT if name in told}
    after = replace(terms_of(before), **direct)
    return with_limits(after, replace(after.limits, **limits))


def _given(body: KeyChange, told: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(body, name) for name in told}


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


def _answer(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
