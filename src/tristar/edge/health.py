"""`/health/live` and `/health/ready`: for load balancers and for people at night."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

Condition = Literal["ok", "degraded", "down"]


class Dependency(BaseModel):
    """One thing that the gateway leans on. `mode` says how it gets by without it."""

    status: Condition
    mode: str | None = None
    reason: str | None = None
    required: bool = True


class Live(BaseModel):
    """The process runs and its event loop answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Whether requests can be served; `down` goes with status 503."""

    status: Condition
    draining: bool
    notice: str | None = Field(default=None, description="What the operator tells everybody who asks.")
    dependencies: dict[str, Dependency]


Check = Callable[[], Awaitable[Mapping[str, Dependency]]]


def summary(dependencies: Mapping[str, Dependency], *, draining: bool) -> Condition:
    """The whole's condition: down only when something required is, or while draining."""
    if draining or any(part.status == "down" and part.required for part in dependencies.values()):
        return "down"
    return "ok" if all(part.status == "ok" for part in dependencies.values()) else "degraded"


def router(check: Check, is_draining: Callable[[], bool], notice: str = "") -> APIRouter:
    """The two health routes; `notice` is for everybody who asks whether the gateway is ready."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("/live")
    async def live() -> Live:
        """200 as long as the process answers at all."""
        return Live()

    @routes.get("/ready", responses={503: {"model": Ready, "description": "Not ready; the body says why."}})
    async def ready(response: Response) -> Ready:
        """200 when requests can be served; the body names each dependency and its state."""
        dependencies = dict(await check())
        draining = is_draining()
        status = summary(dependencies, draining=draining)
        if status == "down":
            response.status_code = 503
        return Ready(status=status, draining=draining, notice=notice or None, dependencies=dependencies)

    return routes
