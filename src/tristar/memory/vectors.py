"""The vectors of all entries as one process keeps them, and follows what others add."""

import asyncio
import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select, tuple_

from tristar.clock import Clock
from tristar.errors import Fault, SettingsInvalid
from tristar.memory.entry import Meaning, Packed
from tristar.storage.engine import Database
from tristar.storage.schema import memory_embeddings, memory_entries, memory_revision

if TYPE_CHECKING:
    from tristar.memory.neighbours import Neighbours

FRESH_S = 0.25
"""What another process has added is found so much later, at most."""

PORTION = 2000
INLINE = 2000
"""So few vectors are searched faster than a thread takes over."""

SEARCHING = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
"""So many threads search in one process: more would share the same cores, and all of them end late."""

_embeddings = memory_embeddings.c


def missing() -> str | None:
    """What to install before vectors can be used; None where everything is there."""
    return None if importlib.util.find_spec("numpy") else "pip install 'tristar[vector]'"


class Vectors:
    """Which entries mean nearly the same. One per process; used from its event loop.

    Loads what it needs at its first use. Vectors of another model, or of another number of parts, are never
    compared. It may name entries that are gone by now, or hidden from the caller: the database has the last
    word on what is shown.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._model = ""
        self._by_dims: dict[int, Neighbours] = {}
        self._dims_of: dict[int, int] = {}
        self._revision = -1
        self._looked_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._threads = ThreadPoolExecutor(SEARCHING, "memory-nearest")

    def load(self) -> None:
        """Load what the first use would load; takes a tenth of a second. Raises SettingsInvalid."""
        _numbers()

    def pack(self, parts: Sequence[float]) -> Packed:
        """See `neighbours.pack`."""
        packed: Packed = _numbers().pack(parts)
        return packed

    def likeness(self, meaning: Meaning, others: bytes) -> Sequence[float]:
        """See `neighbours.likeness`."""
        if not others:
            return ()
        found: Sequence[float] = _numbers().likeness(meaning.vector, others)
        return found

    def nearest(
        self,
        meaning: Meaning,
        count: int,
        *,
        projects: frozenset[str] | None = None,
        among: Sequence[int] | None = None,
    ) -> Sequence[int]:
        """Up to `count` entries of these projects, among these, that mean nearly this, the nearest first.

        As of the last `refresh`. In any thread.
        """
        known = self._by_dims.get(meaning.dims)
        return () if known is None else known.nearest(meaning.vector, count, projects, among)

    async def aside(self, search: Callable[[], Sequence[int]]) -> Sequence[int]:
        """Run a search in the event loop where that is quick, else in a thread."""
        if len(self._dims_of) <= INLINE:
            return search()
        return await asyncio.get_running_loop().run_in_executor(self._threads, search)

    def outdated(self) -> None:
        """Something was added here: the next search looks."""
        self._looked_at = float("-inf")

    async def refresh(self, model: str) -> None:
        """Take in what was added since the last look, if that is a while ago.

        Raises:
            DatabaseDown: it cannot be read.
        """
        if model == self._model and self._clock.monotonic() - self._looked_at < FRESH_S:
            return
        async with self._refreshing:
            if model != self._model:
                self._forget(model)
            if self._clock.monotonic() - self._looked_at < FRESH_S:
                return
            began = self._clock.monotonic()
            current = await self._database.look(
                lambda connection: connection.execute(select(memory_revision.c.value)).scalar_one()
            )
            if current != self._revision:
                await self._follow(current)
            self._looked_at = began

    async def _follow(self, current: int) -> None:
        """Every row that changed up to this revision, portion by portion."""
        last = (self._revision, -1)
        while True:
            rows = await self._database.look(lambda c, after=last: c.execute(_changes(after)).all())  # type: ignore[misc]  # mypy cannot type a lambda's default
            self._take(rows)
            if len(rows) < PORTION:
                break
            last = (rows[-1].revision, rows[-1].entry_seq)
        self._revision = current

    def _take(self, rows: Sequence[Row[Any]]) -> None:
        ours: dict[int, list[tuple[int, bytes, str]]] = {}
        for row in rows:
            before = self._dims_of.pop(row.entry_seq, None)
            if before is not None:
                self._by_dims[before].drop(row.entry_seq)
            if row.model == self._model:
                ours.setdefault(row.dims, []).append((row.entry_seq, row.bits, row.project))
                self._dims_of[row.entry_seq] = row.dims
        for dims, several in ours.items():
            if dims not in self._by_dims:
                self._by_dims[dims] = _numbers().Neighbours(dims)
            self._by_dims[dims].put(several)

    def _forget(self, model: str) -> None:
        self._model, self._revision = model, -1
        self._looked_at = float("-inf")
        self._by_dims, self._dims_of = {}, {}


def _changes(after: tuple[int, int]) -> Any:  # noqa: ANN401 - a statement of five columns
    return (
        select(
            _embeddings.entry_seq,
            _embeddings.model,
            _embeddings.dims,
            _embeddings.revision,
            _embeddings.bits,
            memory_entries.c.project,
        )
        .join(memory_entries, memory_entries.c.seq == _embeddings.entry_seq)
        .where(tuple_(_embeddings.revision, _embeddings.entry_seq) > after)
        .order_by(_embeddings.revision, _embeddings.entry_seq)
        .limit(PORTION)
    )


def _numbers() -> Any:  # noqa: ANN401 - a module of an optional extra
    # Read when NumPy is loaded: more threads would spin beside those that serve requests.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return importlib.import_module("tristar.memory.neighbours")
    except ModuleNotFoundError as error:
        raise SettingsInvalid([Fault("memory.embedding_llm", "", "needs NumPy", str(missing()))]) from error
