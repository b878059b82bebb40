"""How busy each llm is and how fast it answers, as this process sees it."""

from collections import deque
from collections.abc import Sequence
from math import ceil

from tristar.clock import Clock

FORGET_S = 60.0
"""What was measured longer ago says nothing: the llm is tried again."""

FAILED_S = 600.0
"""How slow an llm counts that has just failed: slower than any that answers."""

WEIGHT = 0.3
"""How far one answer moves the average."""

KEPT = 200
ENOUGH = 20
"""Answers that are kept to tell a percentile, and how many it takes."""

KNOWN = 10_000
"""Llms that are kept account of; of an open provider a client may name any."""


class _Pace:
    """How long one llm takes to answer, streamed or not."""

    __slots__ = ("at", "average_s", "recent")

    def __init__(self) -> None:
        self.average_s = 0.0
        self.at = float("-inf")
        self.recent: deque[float] = deque(maxlen=KEPT)


class Loads:
    """What routing knows of its llms, by llm_id. Event-loop thread only; each process has its own.

    `answered` times are those to the first token of a stream, else to the end of the answer: the two
    are kept apart.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._in_flight: dict[str, int] = {}
        self._paces: dict[tuple[str, bool], _Pace] = {}
        self.timed = True
        """Whether anybody asks how fast an llm is; where nobody does, `answered` need not be told."""

    def began(self, llm_id: str) -> None:
        """An attempt is on its way."""
        self._in_flight[llm_id] = self._in_flight.get(llm_id, 0) + 1

    def ended(self, llm_id: str) -> None:
        """It is over, however it ended."""
        left = self._in_flight[llm_id] - 1
        if left > 0:
            self._in_flight[llm_id] = left
        else:
            del self._in_flight[llm_id]

    def answered(self, llm_id: str, took_s: float, *, streamed: bool) -> None:
        """The llm began to answer, or did answer, after so long."""
        pace = self._paces.get((llm_id, streamed)) or self._pace(llm_id, streamed=streamed)
        now = self._clock.monotonic()
        known = now - pace.at <= FORGET_S and pace.average_s < FAILED_S
        pace.average_s += (took_s - pace.average_s) * WEIGHT if known else took_s - pace.average_s
        pace.at = now
        pace.recent.append(took_s)

    def failed(self, llm_id: str, *, streamed: bool) -> None:
        """It gave no answer: it comes last until it is forgotten, or answers."""
        pace = self._pace(llm_id, streamed=streamed)
        pace.average_s, pace.at = FAILED_S, self._clock.monotonic()

    def in_flight(self, llm_id: str) -> int:
        """Attempts that are on their way now."""
        return self._in_flight.get(llm_id, 0)

    def latency_s(self, llm_id: str, *, streamed: bool) -> float:
        """How long it usually takes; 0 where nobody knows and nobody is finding out: it is to be tried."""
        pace = self._paces.get((llm_id, streamed))
        if pace is not None and self._clock.monotonic() - pace.at <= FORGET_S:
            return pace.average_s
        if llm_id not in self._in_flight:
            return 0.0
        return FAILED_S if pace is None else pace.average_s

    def percentile_s(self, llm_id: str, percent: float, *, streamed: bool) -> float | None:
        """The time within which so many per cent of the latest answers came; None if they are too few."""
        pace = self._paces.get((llm_id, streamed))
        if pace is None or len(pace.recent) < ENOUGH:
            return None
        return _percentile(sorted(pace.recent), percent)

    def _pace(self, llm_id: str, *, streamed: bool) -> _Pace:
        pace = self._paces.get((llm_id, streamed))
        if pace is None:
            if len(self._paces) >= KNOWN:
                self._paces.clear()
            pace = self._paces[llm_id, streamed] = _Pace()
        return pace


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
