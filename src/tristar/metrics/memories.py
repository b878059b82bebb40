"""The shared memory: how much it holds, and what is done with it."""

from typing import Final

from tristar.exchange import Account
from tristar.metrics.family import Counter, Family, Gauge, Histogram
from tristar.metrics.labels import Vocabulary

EMBEDDINGS: Final = "/v1/memory/embeddings"
"""The endpoint of the memory's own calls, which came over no connection and are no HTTP requests."""
USUAL_STATUSES: Final = (200, 429, 499, 500, 502, 503, 504)

OPERATION_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Memories:
    """The books of the memory store."""

    def __init__(self, overflows: Counter) -> None:
        self.entries = Gauge("ailinux_memory_entries_total", "Live memory entries.")
        self.waiting = Gauge(
            "ailinux_memory_unembedded_entries",
            "Memory entries that wait for their vector; absent without an embedding llm.",
        )
        self._operations = Counter(
            "ailinux_memory_operations_total", "Operations on the memory.", ("operation",)
        )
        self._seconds = Histogram(
            "ailinux_memory_operation_seconds",
            "Length of one operation on the memory.",
            OPERATION_BOUNDS_S,
            ("operation",),
        )
        self._calls = Counter(
            "ailinux_memory_embedding_calls_total",
            "Calls for vectors that the memory made itself; each has its audit record.",
            ("status",),
        )
        self._statuses = Vocabulary(self._calls.name, "status", overflows)
        for status in USUAL_STATUSES:
            self._calls.bind(self._statuses.admit(str(status)))
        self._names = Vocabulary(self._operations.name, "operation", overflows)

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return self.entries, self.waiting, self._operations, self._seconds, self._calls

    def called(self, account: Account) -> None:
        """Enter a call for vectors that the memory made itself, whatever came of it."""
        self._calls.bind(self._statuses.admit(str(account.status))).value += 1

    def count(self, account: Account) -> None:
        """Enter a request that did something with the memory, and was served."""
        if account.operation is None or account.status >= 400:
            return
        name = self._names.admit(account.operation)
        self._operations.bind(name).value += 1
        self._seconds.bind(name).observe(account.duration_s)
