"""Keys for the gateway under measurement: one that every request presents, and others beside it."""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, insert

from tristar.auth.actor import Limits
from tristar.auth.keys import Keys, NewKey
from tristar.clock import SystemClock
from tristar.storage.engine import Database
from tristar.storage.opening import open_engine
from tristar.storage.schema import keys

PLENTY = Limits(requests_per_minute=1_000_000_000, tokens_per_minute=1_000_000_000, max_concurrent=100_000)
"""Never reached, and asked for on every request."""

_BATCH = 10_000


def cut(data_dir: Path, amount: int, limits: Limits = PLENTY) -> str:
    """Make so many keys in a new database under `data_dir`; the secret of one of them."""
    return asyncio.run(_cut(data_dir, amount, limits))


async def _cut(data_dir: Path, amount: int, limits: Limits) -> str:
    database = open_engine(None, data_dir)
    await database.start()
    made = await Keys(database, SystemClock()).make(NewKey("bench", ("chat",), limits=limits), "bench")
    for first in range(1, amount, _BATCH):
        await _copy(database, made.stored.id, range(first, min(first + _BATCH, amount)))
    await database.close()
    return made.secret


async def _copy(database: Database, key_id: str, numbers: range) -> None:
    """The same key again under other ids and secrets that nobody has."""

    def work(connection: Connection) -> None:
        (row,) = connection.execute(keys.select().where(keys.c.id == key_id)).mappings()
        others = [
            {**row, "id": f"key_{number:016x}", "key_hash": number.to_bytes(32, "big")} for number in numbers
        ]
        connection.execute(insert(keys), others)

    await database.write(work)
