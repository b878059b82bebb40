"""An event loop whose time can be taken into the test's own hands, with real sockets underneath."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs in real time until `step`; from then on time passes only while there is nothing to do.

    Whatever waits for a timer then gets it at once and at the exact time; how busy the machine is makes no
    difference. Sockets are read as ever, but nobody waits for them.
    """

    def __init__(self) -> None:
        self._stepped_at: float | None = None
        super().__init__(_Stepping(self))

    def step(self) -> None:
        """Take time over."""
        self._stepped_at = super().time()

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop`."""
        return super().time() if self._stepped_at is None else self._stepped_at

    def pass_time(self, seconds: float) -> bool:
        """Let so much of it pass; False if it is not in our hands."""
        if self._stepped_at is None:
            return False
        self._stepped_at += seconds
        return True


class _Stepping(selectors.BaseSelector):
    """The system's selector; it does not block while time is in the test's hands."""

    def __init__(self, loop: SteppedLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as in the base class
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - as in the base class
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as in the base class
        return self._real.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or not timeout:
            return ready if ready or timeout is not None else self._real.select(None)
        return [] if self._loop.pass_time(timeout) else self._real.select(timeout)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
