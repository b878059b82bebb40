"""Whether the store of keys and memory answers, asked once a second for a whole host."""

import asyncio
from typing import Final

from tristar.errors import Unavailable
from tristar.host.conditions import Conditions, Status
from tristar.storage.engine import Database

NAME: Final = "storage"
EVERY_S: Final = 1.0
PATIENCE_S: Final = 3.0


async def watch_storage(database: Database, conditions: Conditions, *, refuse: bool) -> None:
    """Note the condition of the store until cancelled."""
    away: Status = "down" if refuse else "degraded"
    while True:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await database.ping()
        except (Unavailable, TimeoutError) as error:
            conditions.note(NAME, away, str(error) or f"no answer within {PATIENCE_S:g} s")
        else:
            conditions.note(NAME, "ok")
        await asyncio.sleep(EVERY_S)
