"""How many connections each worker of a host has, in memory that all of them share."""

import mmap
import os
from dataclasses import dataclass
from typing import Final

ABSENT: Final = -1
_SIZE: Final = 8


class Tally:
    """One number per worker. Each worker writes its own, everybody reads all; no lock is needed for that."""

    def __init__(self, descriptor: int, workers: int) -> None:
        """Over the memory behind a descriptor, as `make` made it; the descriptor stays the caller's."""
        self.descriptor = descriptor
        self._numbers = memoryview(mmap.mmap(descriptor, workers * _SIZE)).cast("q")

    @classmethod
    def make(cls, workers: int) -> "Tally":
        """A new one, where all are absent. Processes that are forked later share it."""
        descriptor = os.memfd_create("tristar-connections", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, workers * _SIZE)
        tally = cls(descriptor, workers)
        for number in range(workers):
            tally.leave(number)
        return tally

    def __len__(self) -> int:
        """Workers, present or not."""
        return len(self._numbers)

    def set(self, number: int, connections: int) -> None:
        """Worker `number` is present, and has so many."""
        self._numbers[number] = connections

    def leave(self, number: int) -> None:
        """Worker `number` takes no connections."""
        self._numbers[number] = ABSENT

    def lead(self, number: int) -> int:
        """How many more worker `number` has than the one that has fewest of those that are present."""
        numbers = self._numbers.tolist()
        return numbers[number] - min([each for each in numbers if each != ABSENT], default=numbers[number])


@dataclass(frozen=True)
class Place:
    """One worker's place in a tally."""

    tally: Tally
    number: int
