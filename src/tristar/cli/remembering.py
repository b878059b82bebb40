"""What the memory has about one person, for `tristar audit about` and `erase`; loaded by these alone."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from tristar.clock import SystemClock
from tristar.edge.memory.bodies import shown
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.settings import Settings
from tristar.storage.opening import open_engine
from tristar.storage.sqlite import FILE_NAME

_Answer = TypeVar("_Answer")


def entries_about(settings: Settings, subject: str) -> Sequence[Mapping[str, object]]:
    """The entries as clients see them, oldest first.

    Raises:
        DatabaseDown, SettingsInvalid: the database cannot be used.
    """

    async def work(store: Store) -> Sequence[Mapping[str, object]]:
        return [shown(entry) for entry in await store.about(subject)]

    return _with_store(settings, work, ())


def forget(settings: Settings, subject: str) -> int:
    """Delete them, so that nothing of them can be read on disk; how many. Errors as `entries_about`."""
    return _with_store(settings, lambda store: store.forget(subject), 0)


def _with_store(settings: Settings, work: Callable[[Store], Awaitable[_Answer]], without: _Answer) -> _Answer:
    """What `work` gives; where no database was ever made, `without`."""
    if settings.database_url is None and not (settings.data_dir / FILE_NAME).exists():
        return without

    async def run() -> _Answer:
        database = open_engine(settings.database_url, settings.data_dir)
        try:
            return await work(open_store(database, SystemClock()))
        finally:
            await database.close()

    return asyncio.run(run())
