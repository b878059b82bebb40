"""Giving entries their vectors, after the write and beside all requests."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import structlog

from tristar.edge.memory.embedder import Embedder
from tristar.errors import GatewayError, Unavailable
from tristar.memory.backlog import Backlog, Waiting
from tristar.memory.vectors import Vectors

PORTION: Final = 32
POLL_S: Final = 5.0
"""What another process has left behind is found so much later, at most."""

GATHER_S: Final = 0.1
"""So long after a write others may join it: a portion costs two transactions and a call, however large."""

LEASE_S: Final = 120.0
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 300.0

_NOT_THIS_TEXT: Final = {400, 413, 422}
"""The llm is well, and does not take what it was given."""

_log = structlog.get_logger("tristar.memory")


class Backfill:
    """Works off the backlog for as long as it runs. One per process: each entry is embedded by one of them.

    A write neither waits for it nor fails with it. While the llm is away it tries again, ever more
    seldom, and says so once.
    """

    def __init__(self, backlog: Backlog, embedder: Embedder, vectors: Vectors) -> None:
        self._backlog = backlog
        self._embedder = embedder
        self._vectors = vectors
        self._woken = asyncio.Event()
        self._stopping = False
        self._pause_s = 0.0
        self._renewed = ""

    def wake(self) -> None:
        """There is something to do: an entry was written, or the configuration was reloaded."""
        if not self._pause_s:
            self._woken.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            rest_s = POLL_S
            try:
                if self._embedder.configured:
                    rest_s = await self._work() or POLL_S
            except Unavailable as error:
                rest_s = self._failed(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._woken.wait()
                    await asyncio.sleep(GATHER_S)
            self._woken.clear()

    def stop(self) -> None:
        """Break off; what was taken on is left for others."""
        self._stopping = True
        self._embedder.stop()
        self._woken.set()

    async def _work(self) -> float:
        """Embed all there is; returns how long to rest if something is in the way."""
        try:
            model = self._embedder.model
        except GatewayError as error:
            return self._failed(error)
        if model != self._renewed:
            await asyncio.to_thread(self._vectors.load)
            await self._backlog.renew(model)
            await self._vectors.refresh(model)
            self._renewed = model
        while not self._stopping:
            if (rest_s := self._embedder.rest_s()) > 0:
                return rest_s
            taken = await self._backlog.take(PORTION, LEASE_S)
            if not taken:
                break
            try:
                await self._embed(model, taken)
            except GatewayError as error:
                pause_s = self._failed(error)
                await self._backlog.give_back(taken, 0.0)
                return pause_s
        return 0.0

    async def _embed(self, model: str, taken: Sequence[Waiting]) -> None:
        try:
            packed = await self._embedder.embed([each.content for each in taken])
        except GatewayError as error:
            if error.status not in _NOT_THIS_TEXT:
                raise
            if len(taken) == 1:
                _log.warning("the embedding llm refuses an entry", reason=error.message)
                await self._backlog.refuse(taken[0])
                return
            for each in taken:  # one of them is at fault: the others shall not wait for it
                await self._embed(model, [each])
            return
        await self._backlog.keep(model, list(zip(taken, packed, strict=True)))
        self._vectors.outdated()
        self._succeeded()

    def _failed(self, error: GatewayError) -> float:
        if self._stopping:
            return 0.0
        first = not self._pause_s
        self._pause_s = min(max(FIRST_PAUSE_S, 2 * self._pause_s), LONGEST_PAUSE_S)
        pause_s = max(self._pause_s, error.retry_after_s or 0.0)
        if first:
            _log.warning(
                "memory entries wait for their vectors, and are found by their words alone",
                reason=error.message,
                next_try_s=pause_s,
            )
        return pause_s

    def _succeeded(self) -> None:
        if self._pause_s:
            _log.info("memory entries get their vectors again")
        self._pause_s = 0.0
