"""`/admin`: what operators read and order while the gateway runs."""

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from tristar.auth.actor import Actor
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.exchange import Exchange
from tristar.routing.breaker import State

Admin = Annotated[Actor, Depends(requires("admin"))]
Overrider = Annotated[Actor, Depends(requires("audit:admin"))]
Story = Annotated[Exchange, Depends(exchange)]


class View(Protocol):
    """One breaker as the host tells of it."""

    @property
    def llm_id(self) -> str: ...  # noqa: D102 - fields of a view
    @property
    def state(self) -> State: ...  # noqa: D102
    @property
    def retry_in_s(self) -> float | None: ...  # noqa: D102


class Orders(Protocol):
    """What can be read and ordered of the host; see `host.orders`."""

    def breakers(self) -> Sequence[View]:
        """Every breaker."""
        ...

    async def order(self, name: str, subject: str = "") -> None:
        """Carry out `reload`; `force_open` or `reset` of an llm; or note what was `verified`."""
        ...


class BreakerOut(BaseModel):
    """One llm's breaker."""

    llm_id: str
    state: Literal["closed", "open", "half_open"]
    retry_in_s: float | None = Field(
        default=None, description="Seconds until a probe may go; null unless open, and while forced open."
    )


class BreakerList(BaseModel):
    """Every breaker."""

    data: list[BreakerOut]


class Reloaded(BaseModel):
    """The configuration was read again and is in force."""

    status: Literal["reloaded"] = "reloaded"


def router(orders: Orders, events: Events) -> APIRouter:
    """The routes of the host. The front has authenticated the caller before they are reached."""
    routes = APIRouter(prefix="/admin", tags=["admin"])

    def shown() -> list[BreakerOut]:
        return [
            BreakerOut(llm_id=view.llm_id, state=_name(view.state), retry_in_s=view.retry_in_s)
            for view in orders.breakers()
        ]

    @routes.get("/breakers", responses=refusals())
    async def breakers(_: Admin) -> BreakerList:
        """The state of every llm's breaker."""
        return BreakerList(data=shown())

    @routes.post("/breakers/{llm_id:path}/open", status_code=204, responses=refusals(404))
    async def force_open(llm_id: str, _: Overrider, story: Story) -> None:
        """Keep an llm out until it is reset; audited."""
        await orders.order("force_open", llm_id)
        await events.record("breaker_override", f"llm:{llm_id}", {"order": "force_open"}, story, "WARNING")

    @routes.post("/breakers/{llm_id:path}/reset", status_code=204, responses=refusals(404))
    async def reset(llm_id: str, _: Overrider, story: Story) -> None:
        """Close an llm's breaker and forget its failures; audited."""
        await orders.order("reset", llm_id)
        await events.record("breaker_override", f"llm:{llm_id}", {"order": "reset"}, story, "WARNING")

    @routes.post("/reload", responses=refusals())
    async def reload(_: Admin) -> Reloaded:
        """Read the configuration again: llms and providers change at once; a fault changes nothing."""
        await orders.order("reload")
        return Reloaded()

    return routes


def _name(state: State) -> Literal["closed", "open", "half_open"]:
    if state is State.CLOSED:
        return "closed"
    return "open" if state is State.OPEN else "half_open"
