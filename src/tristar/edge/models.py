"""`/v1/models`: which llms clients may name."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from tristar.auth.actor import Actor
from tristar.edge.access import ErrorEnvelope
from tristar.errors import ModelNotFound
from tristar.routing.catalog import Catalog, Llm, Pool

BUILT_IN = "tristar-built-in"
POOL = "tristar-pool"


class Model(BaseModel):
    """One llm or pool, in OpenAI's shape and in Anthropic's. `owned_by` is the provider's configured name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    type: Literal["model"] = "model"
    display_name: str
    created_at: str
    lifecycle: Literal["active"] = "active"
    upstream_model: str | None = Field(
        default=None, description="The upstream's name for it: the `model` of the metrics. A pool has none."
    )
    pool: list[str] | None = Field(
        default=None, description="The llms that answer under this name; only of a pool."
    )


class ModelList(BaseModel):
    """All llms that the caller may use."""

    object: Literal["list"] = "list"
    data: list[Model]
    has_more: Literal[False] = False
    first_id: str | None = None
    last_id: str | None = None


def router(catalog: Callable[[], Catalog], started_at: int) -> APIRouter:
    """The two routes; `started_at` stands for the models' unknown creation time."""
    routes = APIRouter(prefix="/v1/models", tags=["models"])

    created_at = datetime.fromtimestamp(started_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def shown(llm: Llm | Pool) -> Model:
        made = partial(
            Model, id=llm.llm_id, display_name=llm.llm_id, created=started_at, created_at=created_at
        )
        if isinstance(llm, Pool):
            return made(owned_by=POOL, pool=list(llm.pool))
        owner = BUILT_IN if llm.provider.dialect == "echo" else llm.provider.name
        return made(owned_by=owner, upstream_model=llm.model)

    def usable(actor: Actor, llm: Llm | Pool) -> bool:
        """A pool may be asked for by who may use one of its llms."""
        members = llm.pool if isinstance(llm, Pool) else ()
        return actor.may_use(llm.llm_id) or any(actor.may_use(name) for name in members)

    @routes.get("", response_model_exclude_none=True)
    async def list_models(request: Request) -> ModelList:
        """The configured llms that this key may use. Providers switched on by an environment
        variable alone serve any `provider/model` besides."""
        actor: Actor = request.scope["tristar.actor"]
        configured: list[Llm | Pool] = [*catalog().llms.values(), *catalog().pools.values()]
        data = [shown(llm) for llm in configured if usable(actor, llm)]
        if not data:
            return ModelList(data=data)
        return ModelList(data=data, first_id=data[0].id, last_id=data[-1].id)

    missing: dict[int | str, dict[str, Any]] = {
        404: {"model": ErrorEnvelope, "description": "No llm of that name may be used."}
    }

    @routes.get("/{model_id:path}", response_model_exclude_none=True, responses=missing)
    async def get_model(model_id: str, request: Request) -> Model:
        """One llm by the name that clients use."""
        actor: Actor = request.scope["tristar.actor"]
        llm = catalog().pools.get(model_id) or catalog().find(model_id)
        if not usable(actor, llm):
            raise ModelNotFound(f"The model {model_id[:200]!r} is not configured here.", param="model")
        return shown(llm)

    return routes
