"""Circuit breakers: the present state, and every change of it."""

from collections.abc import Mapping
from typing import Final

from tristar.metrics.family import Counter, Family, Gauge, Labels
from tristar.metrics.labels import OTHER, Vocabulary

STATES: Final = ("closed", "open", "half_open")
"""By their value in `ailinux_circuit_breaker_state`: 0, 1, 2."""


class Breakers:
    """The books of the breakers; the state itself lives in them and is read at scrape time."""

    def __init__(self, overflows: Counter, llm_ids: Vocabulary) -> None:
        self._state = Gauge(
            "ailinux_circuit_breaker_state", "Breaker of an llm: 0 closed, 1 open, 2 half-open.", ("llm_id",)
        )
        self._transitions = Counter(
            "ailinux_circuit_breaker_transitions_total", "Changes of a breaker's state.", ("llm_id", "to")
        )
        self._llm_ids = llm_ids
        self._targets = Vocabulary(self._transitions.name, "to", overflows, known=STATES, cap=0)

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return self._state, self._transitions

    def transition(self, llm_id: str, to: str) -> None:
        """Enter one change to the state `to`."""
        self._transitions.bind(self._llm_ids.admit(llm_id), self._targets.admit(to)).value += 1

    def show(self, states: Mapping[str, int] | None) -> None:
        """The present states by llm_id; the transitions of a breaker first seen start at 0."""
        labelled: dict[Labels, float] = {}
        for llm_id, state in (states or {}).items():
            label = self._llm_ids.place(llm_id) or OTHER
            # Several breakers under `_other` show their worst: open, then half-open, then closed.
            worst = max(labelled.get((label,), 0), state, key=(0, 2, 1).index)
            labelled[(label,)] = float(worst)
            for to in STATES:
                self._transitions.bind(label, to)
        self._state.values = labelled
