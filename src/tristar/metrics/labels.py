"""Label values are bounded: closed lists, and a cap for what comes from outside."""

from collections.abc import Iterable
from typing import Final

from tristar.metrics.family import Counter

OTHER: Final = "_other"
OTHER_METHOD: Final = "_OTHER"
CAP: Final = 200
VALUE_CHARS: Final = 200

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"))


class Vocabulary:
    """The values that one label of one metric may take: those `known`, and then up to `cap` others.

    What is refused becomes `other` and is counted in `overflows`, by metric and label. A value
    that was let in stays in, so no series ever changes its name.
    """

    def __init__(
        self,
        metric: str,
        label: str,
        overflows: Counter,
        *,
        known: Iterable[str] = (),
        cap: int = CAP,
        other: str = OTHER,
    ) -> None:
        self._refused = overflows.bind(metric, label)
        self._known = set(known)
        self._earned: set[str] = set()
        self._cap = cap
        self._other = other

    def know(self, values: Iterable[str]) -> None:
        """Let these in for good, beside the cap: they come from the operator, not from clients."""
        self._known.update(values)

    def place(self, value: str) -> str | None:
        """The value itself if it has or gets a place, else None; counts nothing."""
        if value in self._known or value in self._earned:
            return value
        if len(self._earned) < self._cap and len(value) <= VALUE_CHARS:
            self._earned.add(value)
            return value
        return None

    def admit(self, value: str) -> str:
        """The value itself if it has or gets a place, else `other` and one more overflow."""
        return self.place(value) or self.refuse()

    def refuse(self) -> str:
        """`other`, and one more overflow."""
        self._refused.value += 1
        return self._other
