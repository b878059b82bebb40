"""`/v1/models`: which llms clients may name."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from tristar.auth.actor import Actor
from tristar.errors import ModelNotFound
from tristar.routing.catalog import Catalog, Llm

BUILT_IN = "tristar-built-in"


class Model(BaseModel):
    """One llm, in OpenAI's shape. `owned_by` is the provider's configured name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    upstream_model: str = Field(description="The upstream's name for it: the `model` of the metrics.")


class ModelList(BaseModel):
    """All llms that the caller may use."""

    object: Literal["list"] = "list"
    data: list[Model]


def router(catalog: Callable[[], Catalog], started_at: int) -> APIRouter:
    """The two routes; `started_at` stands for the models' unknown creation time."""
    routes = APIRouter(prefix="/v1/models", tags=["models"])

    def shown(llm: Llm) -> Model:
        owner = BUILT_IN if llm.provider.dialect == "echo" else llm.provider.name
        return Model(id=llm.llm_id, created=started_at, owned_by=owner, upstream_model=llm.model)

    @routes.get("")
    async def list_models(request: Request) -> ModelList:
        """The configured llms that this key may use. Providers switched on by an environment
        variable alone serve any `provider/model` besides."""
        actor: Actor = request.scope["tristar.actor"]
        llms = catalog().llms.values()
        return ModelList(data=[shown(llm) for llm in llms if actor.may_use(llm.llm_id)])

    @routes.get("/{model_id:path}")
    async def get_model(model_id: str, request: Request) -> Model:
        """One llm by the name that clients use."""
        actor: Actor = request.scope["tristar.actor"]
        llm = catalog().find(model_id)
        if not actor.may_use(llm.llm_id):
            raise ModelNotFound(f"The model {model_id[:200]!r} is not configured here.", param="model")
        return shown(llm)

    return routes
