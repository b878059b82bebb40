"""New entries on their way to the disk: what comes while others are written shares the next transaction."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from tristar.errors import Unavailable
from tristar.memory.entry import Entry
from tristar.storage.engine import Database

TOGETHER = 64
"""So many entries share a transaction at most."""


class Worded(NamedTuple):
    """An entry and the words that it is found by."""

    entry: Entry
    words: Sequence[str]


class _Waiting(NamedTuple):
    worded: Worded
    kept: asyncio.Future[None]


class Intake:
    """Writes entries, one transaction at a time: a sync and a statement cost the same for many as for one.

    One per process; used from its event loop. `write` keeps several in a transaction.
    """

    def __init__(self, database: Database, write: Callable[[Connection, Sequence[Worded]], None]) -> None:
        self._database = database
        self._write = write
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    async def keep(self, worded: Worded) -> None:
        """Return once the entry is durable. It is kept even where the caller goes away meanwhile.

        Raises:
            DatabaseDown: it could not be written.
        """
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(worded, kept))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        await kept

    async def _run(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._together(some)
        finally:
            self._running = None

    async def _together(self, some: Sequence[_Waiting]) -> None:
        try:
            await self._database.write(
                lambda connection: self._write(connection, [each.worded for each in some])
            )
        except Unavailable as error:
            _tell(some, error)
        except Exception as error:  # noqa: BLE001 - it is the callers'
            if len(some) == 1:
                _tell(some, error)
                return
            for each in some:  # one of them is at fault: the others shall not suffer
                await self._together([each])
        else:
            _tell(some, None)


def _tell(some: Sequence[_Waiting], error: Exception | None) -> None:
    for each in some:
        if each.kept.done():
            continue  # its caller is gone
        if error is None:
            each.kept.set_result(None)
        else:
            each.kept.set_exception(error)
