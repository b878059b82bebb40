"""The shared memory: how much it holds, and what is done with it."""

from typing import Final

from tristar.exchange import Account
from tristar.metrics.family import Counter, Family, Gauge, Histogram
from tristar.metrics.labels import Vocabulary

OPERATION_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


MEMORY_ROUTES: Final = "/v1/memory"
_OPERATIONS: Final = {
    ("POST", "/v1/memory"): "store",
    ("GET", "/v1/memory"): "list",
    ("GET", "/v1/memory/{entry_id}"): "get",
    ("PATCH", "/v1/memory/{entry_id}"): "update",
    ("DELETE", "/v1/memory/{entry_id}"): "delete",
}


def operation_of(account: Account) -> str:
    """What a request of the memory's routes does: the last fixed part of its path, or its method's verb."""
    named = _OPERATIONS.get((account.method, account.endpoint))
    return named or account.endpoint.rpartition("/")[2]


class Memories:
    """The books of the memory store."""

    def __init__(self, overflows: Counter) -> None:
        self.entries = Gauge("ailinux_memory_entries_total", "Live memory entries.")
        self._operations = Counter(
            "ailinux_memory_operations_total", "Operations on the memory.", ("operation",)
        )
        self._seconds = Histogram(
            "ailinux_memory_operation_seconds",
            "Length of one operation on the memory.",
            OPERATION_BOUNDS_S,
            ("operation",),
        )
        self._names = Vocabulary(self._operations.name, "operation", overflows)

    @property
    def families(self) -> tuple[Family, ...]:
        """Every metric of this subject."""
        return self.entries, self._operations, self._seconds

    def count(self, account: Account) -> None:
        """Enter a request of the memory's routes that was served."""
        if account.status < 400:
            self.operation(operation_of(account), account.duration_s)

    def operation(self, operation: str, seconds: float) -> None:
        """Enter one operation that took `seconds`."""
        name = self._names.admit(operation)
        self._operations.bind(name).value += 1
        self._seconds.bind(name).observe(seconds)
