"""The queue between those who append and the thread that commits."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tristar.audit.draft import Draft
from tristar.clock import Clock
from tristar.errors import AuditUnavailable

_NEVER = 1 << 62

OnCommit = Callable[[Sequence[object], AuditUnavailable | None], None]


class Port(Protocol):
    """Where the fate of a record is told."""

    def settle(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        """Called on the commit thread, once per batch and port, in order; `seqs` is empty with an error."""
        ...


class CallbackPort:
    """The port of `AuditWriter.append`: tells `on_commit`."""

    def __init__(self, on_commit: OnCommit) -> None:
        self._on_commit = on_commit

    def settle(
        self,
        tokens: Sequence[object],
        seqs: Sequence[int],  # noqa: ARG002 - the port's signature
        error: AuditUnavailable | None,
    ) -> None:
        """See `Port.settle`."""
        self._on_commit(tokens, error)


class OwnPort:
    """The port of the writer's own records: a token is what to do once the record is durable, or None."""

    def settle(
        self,
        tokens: Sequence[object],
        seqs: Sequence[int],  # noqa: ARG002 - the port's signature
        error: AuditUnavailable | None,
    ) -> None:
        """See `Port.settle`."""
        for token in tokens:
            if callable(token) and error is None:
                token()


class Entry(msgspec.Struct, eq=False, gc=False):
    """One record in the queue."""

    draft: Draft
    token: object
    port: Port


class Intake:
    """A bounded queue with one reader; `put` and `withdraw` are thread-safe and do not block."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()
        self._wanted_bytes = _NEVER
        self._kicked = False
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._since_s = 0.0
        self.refusal = ""

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry, *, forced: bool = False) -> None:
        """Queue one record; `forced` ones are taken whatever the state.

        Raises:
            AuditUnavailable: the queue is full, or `refusal` says why nothing is accepted.
        """
        draft = entry.draft
        with self._lock:
            if not forced:
                if self.refusal:
                    raise AuditUnavailable(self.refusal)
                if len(self._entries) >= self._capacity:
                    raise AuditUnavailable("the audit queue is full: the disk is too slow for the load")
            if not self._entries:
                self._since_s = self._clock.monotonic()
            self._entries.append(entry)
            self._bytes += len(draft.head) + len(draft.tail)
            if self._bytes >= self._wanted_bytes:
                self._wanted_bytes = _NEVER
                self._wake.release()

    def take(self, max_bytes: int) -> tuple[list[Entry], float]:
        """The oldest records up to so many bytes, at least one if there is one, and since when they wait."""
        with self._lock:
            since_s = self._since_s
            if self._bytes <= max_bytes:
                taken = list(self._entries)
                self._entries.clear()
                self._bytes = 0
                return taken, since_s
            return self._take_some(max_bytes), since_s

    def _take_some(self, max_bytes: int) -> list[Entry]:
        taken: list[Entry] = []
        room = max_bytes
        while self._entries:
            draft = self._entries[0].draft
            size = len(draft.head) + len(draft.tail)
            if taken and size > room:
                break
            room -= size
            self._bytes -= size
            taken.append(self._entries.popleft())
        return taken

    def put_back(self, entries: Sequence[Entry], since_s: float) -> None:
        """Undo `take`: these are the oldest again."""
        with self._lock:
            self._entries.extendleft(reversed(entries))
            self._bytes += sum(len(entry.draft.head) + len(entry.draft.tail) for entry in entries)
            self._since_s = since_s

    def withdraw(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the queued records that are wanted."""
        with self._lock:
            found = [entry for entry in self._entries if wanted(entry)]
            if found:
                kept = [entry for entry in self._entries if not wanted(entry)]
                self._entries = deque(kept)
                self._bytes = sum(len(entry.draft.head) + len(entry.draft.tail) for entry in kept)
            return found

    def drop_waiting_since(self, before_s: float) -> list[Entry]:
        """Remove and return everything, if the oldest has waited since before this time."""
        with self._lock:
            if not self._entries or self._since_s > before_s:
                return []
            dropped = list(self._entries)
            self._entries.clear()
            self._bytes = 0
            return dropped

    def oldest_s(self) -> float:
        """How long the oldest queued record has waited at most; 0 when there is none."""
        return max(0.0, self._clock.monotonic() - self._since_s) if self._entries else 0.0

    def wait(self, wanted_bytes: int, timeout_s: float) -> None:
        """Return once so much is queued, on `kick`, or after the time; for the one reader."""
        with self._lock:
            if self._kicked or self._bytes >= wanted_bytes:
                self._kicked = False
                return
            self._wanted_bytes = wanted_bytes
        if not self._wake.acquire(timeout=timeout_s):
            with self._lock:
                self._wanted_bytes = _NEVER
                self._wake.acquire(blocking=False)  # a release may have come with the timeout

    def kick(self) -> None:
        """End the present `wait`, or the next."""
        with self._lock:
            if self._wanted_bytes < _NEVER:
                self._wanted_bytes = _NEVER
                self._wake.release()
            else:
                self._kicked = True
