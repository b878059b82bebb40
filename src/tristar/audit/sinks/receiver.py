"""What a sink delivers to: one class per protocol, one promise for all."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from tristar.errors import TriStarError

_SLICE: Final = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: its number, its id, and its line as it stands in the log, without the newline."""

    seq: int
    event_id: str
    line: bytes


class SinkDown(TriStarError):
    """The receiver did not acknowledge everything; the same records will be sent again.

    The first `acknowledged` of the batch were acknowledged. `retry_after_s` is what the receiver asked for.
    """

    def __init__(self, reason: str, *, acknowledged: int = 0, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.acknowledged = acknowledged
        self.retry_after_s = retry_after_s


class SinkRefused(SinkDown):
    """The receiver will not take something in the batch, however often it is sent.

    The first `acknowledged` were acknowledged; the record after them was refused if `exact`, else one of
    those after them was.
    """

    def __init__(self, reason: str, *, acknowledged: int = 0, exact: bool = False) -> None:
        super().__init__(reason, acknowledged=acknowledged)
        self.exact = exact


class Receiver(Protocol):
    """A connection to one receiver; used by one thread, made anew after a failure if need be."""

    def deliver(self, batch: Sequence[Entry]) -> int:
        """Return once the receiver has acknowledged all of the batch; blocks within the sink's timeouts.

        Returns how many of them it has said it will never store though it acknowledged the batch: 0 almost
        always.

        Raises:
            SinkDown: see there.
        """
        ...

    def close(self) -> None:
        """Let the connection go."""
        ...


def gently(items: Iterable[T]) -> Iterator[T]:
    """The items, giving way to the event loop between slices: work on a batch delays no request."""
    for count, item in enumerate(items, 1):
        yield item
        if count % _SLICE == 0:
            time.sleep(0)
