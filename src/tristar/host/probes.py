"""The calls that one worker was let through to an llm that is not well, and what they came to."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from tristar.host.frames import Permit
from tristar.host.hub import Hub


class Probes:
    """One worker's permits that it had to ask for; a dead worker's are given back. Loop thread only."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop, answer: Callable[[Permit], None]) -> None:
        self._hub = hub
        self._loop = loop
        self._answer = answer
        self._out: Counter[tuple[str, int]] = Counter()
        self._asking: set[asyncio.Task[int | None]] = set()
        self._ended = False

    def __len__(self) -> int:
        """Permits that the worker has, or waits for."""
        return self._out.total() + len(self._asking)

    def ask(self, n: int, llm_id: str) -> None:
        """Answer question `n`, which may take as long as others that share the breaker do."""
        task = self._loop.create_task(self._hub.board.admit(llm_id))
        self._asking.add(task)
        task.add_done_callback(partial(self._answered, n, llm_id))

    def report(self, llm_id: str, permit: int, well: bool | None, retry_after_s: float | None) -> None:
        """A permitted call has ended: well, ill, or in a way that says nothing."""
        if self._out:
            self._forget(llm_id, permit)
        board = self._hub.board
        if well is None:
            board.abandoned(llm_id, permit)
        elif well:
            board.succeeded(llm_id, permit)
        else:
            board.failed(llm_id, permit, retry_after_s)

    def end(self) -> None:
        """The worker is gone, and its probes will not report."""
        self._ended = True
        for llm_id, permit in self._out.elements():
            self._hub.board.abandoned(llm_id, permit)
        self._out.clear()

    def _answered(self, n: int, llm_id: str, task: "asyncio.Task[int | None]") -> None:
        self._asking.discard(task)
        permit = task.result()
        if permit is not None and self._ended:
            self._hub.board.abandoned(llm_id, permit)
            return
        if permit is not None and self._hub.board.free_permit(llm_id) is None:
            self._out[(llm_id, permit)] += 1
        self._answer(Permit(n, llm_id, permit))

    def _forget(self, llm_id: str, permit: int) -> None:
        left = self._out.get((llm_id, permit), 0) - 1
        if left > 0:
            self._out[(llm_id, permit)] = left
        else:
            self._out.pop((llm_id, permit), None)
