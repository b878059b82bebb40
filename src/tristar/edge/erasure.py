"""`POST /admin/audit/erase`: one person forgotten by the audit log and by the memory."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from tristar.audit import erasure
from tristar.auth.actor import Actor
from tristar.edge.access import Events, exchange, refusals, requires
from tristar.errors import Conflict, NotFound
from tristar.exchange import Exchange


class Memory(Protocol):
    """See `tristar.memory.store.Store`."""

    async def about(self, subject: str) -> Sequence[object]:
        """See `Store.about`."""
        ...

    async def forget(self, subject: str) -> int:
        """See `Store.forget`."""
        ...


class Erasure(BaseModel):
    """Whom to forget, and why."""

    model_config = ConfigDict(extra="forbid")

    subject: Annotated[
        str, Field(min_length=1, max_length=256, description="A user id as callers pass it, not a key's id.")
    ]
    reason: Annotated[
        str, Field(min_length=1, max_length=500, description="Stands in the log: a ticket, not a name.")
    ]


class ReceiptOut(BaseModel):
    """What was reached and what was not."""

    subject_key: str | None = Field(
        description="The id of the key that was destroyed; null if there was none."
    )
    records: int = Field(description="Records that can no longer be read as the subject's.")
    first_seq: int | None
    last_seq: int | None
    in_plain_text: int = Field(description="Records made while nothing was encrypted; they stay.")
    exports: list[str] = Field(description="Exports made since the first of the records: time and path.")
    memory_entries: int = Field(description="Entries of the memory that were deleted with their history.")
    out_of_reach: list[str]


Eraser = Annotated[Actor, Depends(requires("audit:admin"))]
Story = Annotated[Exchange, Depends(exchange)]


def router(directory: Path, events: Events, memory: Memory) -> APIRouter:
    """The route; the front has authenticated the caller before it is reached."""
    routes = APIRouter(prefix="/admin/audit", tags=["audit"])

    @routes.post("/erase", responses=refusals(404, 409))
    async def erase(body: Erasure, _: Eraser, story: Story) -> ReceiptOut:
        """Forget a person, for good: destroy the key of their records, delete the memory's entries."""
        found = await asyncio.to_thread(erasure.survey, directory, body.subject)
        entries = len(await memory.about(body.subject))
        if found.empty and not entries:
            raise NotFound("No record and no entry names this subject; nothing was erased.", param="subject")
        try:
            erasure.refuse_held(directory, found)
        except erasure.Held as held:
            raise Conflict(str(held)) from held
        receipt = found.receipt(entries)
        # Recorded first: nothing may be unreadable that the log does not account for.
        await events.record("audit_erasure", "audit/subjects", receipt.details(body.reason), story, "WARNING")
        if entries:
            await memory.forget(body.subject)
        await asyncio.to_thread(erasure.destroy, directory, body.subject)
        return ReceiptOut.model_validate(receipt, from_attributes=True)

    return routes
