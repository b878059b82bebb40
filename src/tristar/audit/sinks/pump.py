"""One sink at work: reads behind its cursor, delivers, moves the cursor, and waits when it must."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tristar.audit.sinks.cursor import FROM_NOW, Cursor, CursorFile
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, Receiver, SinkDown, SinkRefused
from tristar.audit.sinks.spool import Spool, read_one
from tristar.errors import AuditCorrupt

_log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_LAST_S: Final = 30.0
RETRY_AFTER_MOST_S: Final = 300.0
_BACKOFF_LEAST_S: Final = 0.05
_TROUBLE_AT: Final = 3
"""A sink counts as degraded from so many failures in a row on: a receiver that restarts is no event."""
_REASON_CHARS: Final = 300

Told = Callable[[str, str], None]


class Random(Protocol):
    """The source of the jitter."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between the two."""
        ...


@dataclass(frozen=True, slots=True)
class SinkReading:
    """A sink at this moment. `reason` says why it is degraded, "" when it is not.

    `refused` records were given up because the receiver will not take them, `expired` ones because retention
    had deleted them before their turn.
    """

    mandatory: bool
    lag_records: int
    delivered: int = 0
    failures: int = 0
    refused: int = 0
    expired: int = 0
    reason: str = ""


class Pump:
    """Delivers one sink's records on a thread of its own; `reading` may be asked from any thread.

    Whatever happens to the receiver, the cursor or the log, the thread goes on trying. `told(name, reason)`
    is called from it when the sink becomes degraded and, with "", when it is well again.
    """

    def __init__(
        self,
        options: SinkOptions,
        open_receiver: Callable[[SinkOptions], Receiver],
        *,
        spool: Spool,
        cursor: CursorFile,
        durable: Callable[[], int],
        random: Random,
        told: Told,
    ) -> None:
        self.options = options
        self._open_receiver = open_receiver
        self._receiver: Receiver | None = None
        self._spool = spool
        self._file = cursor
        self._durable = durable
        self._random = random
        self._told = told
        self._held: list[Entry] = []
        self._span = options.records
        self._cursor: Cursor | None = None
        self._failures_in_row = 0
        self._pause_s = 0.0
        self._delivered = self._failures = self._refused = 0
        self._reason = ""
        self._finishing = self._halted = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"audit-sink-{options.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Deliver what there is without further pause, then end; the first failure ends it too."""
        self._finishing = True
        self._wake.set()

    def halt(self) -> None:
        """Begin no further delivery."""
        self._halted = True
        self._wake.set()

    def join(self, within_s: float) -> bool:
        """Wait for the delivery under way; false if it takes longer: the next run sends it again."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def reading(self) -> SinkReading:
        """The state at this moment; never blocks."""
        cursor = self._cursor
        return SinkReading(
            mandatory=self.options.mandatory,
            lag_records=max(0, self._durable() - cursor.next) if cursor is not None else 0,
            delivered=self._delivered,
            failures=self._failures,
            refused=self._refused,
            expired=self._spool.missed,
            reason=self._reason,
        )

    # --- the thread

    def _run(self) -> None:
        while not self._halted:
            self._guarded_turn()
            if not self._finishing:
                self._wake.wait(self._pause_s)
            elif self._failures_in_row or not self.reading().lag_records:
                break
        self._spool.close()
        self._drop_receiver()

    def _guarded_turn(self) -> None:
        try:
            self._pause_s = self.options.pause_s
            self._turn()
        except SinkDown as down:
            self._failed(str(down), down.retry_after_s)
        except (AuditCorrupt, OSError) as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - the loop's last resort: one odd answer must not end a sink for good
            _log.exception("audit sink %s failed, will be tried again", self.options.name)
            self._failed(f"{type(error).__name__}: {error}")

    def _turn(self) -> None:
        """At most one delivery."""
        if self._cursor is None:
            self._cursor = self._resume()
        self._fill(self._span)
        if not self._held:
            return
        batch = self._held[: self._span]
        try:
            refused = self._connected().deliver(batch)
        except SinkRefused as refusal:
            self._acknowledged(refusal.acknowledged)
            self._narrow(refusal, len(batch) - refusal.acknowledged)
        except SinkDown as down:
            self._acknowledged(down.acknowledged)
            raise
        else:
            self._refused += refused
            self._acknowledged(len(batch))
            self._widen(sum(len(entry.line) for entry in batch))

    def _resume(self) -> Cursor:
        """The cursor to go on from: the stored one, if the log still is the one that it speaks of."""
        found = self._file.load()
        begin = self._durable() if self.options.start == "now" else 0
        cursor = found or Cursor(sink=self.options.name, mandatory=self.options.mandatory, next=FROM_NOW)
        if cursor.next == FROM_NOW:
            cursor = Cursor(sink=cursor.sink, mandatory=self.options.mandatory, next=begin)
            self._file.save(cursor)
        elif not self._fits(cursor):
            _log.warning(
                "audit sink %s: the log is not the one that its cursor speaks of: all of it is sent again",
                self.options.name,
            )
            cursor = Cursor(sink=cursor.sink, mandatory=self.options.mandatory, next=0)
        self._spool.seek(cursor.next)
        return cursor

    def _fits(self, cursor: Cursor) -> bool:
        if cursor.next > self._durable():
            return False
        last = read_one(self._spool.directory, cursor.next - 1, self._durable()) if cursor.event_id else None
        return last is None or last.event_id == cursor.event_id

    def _fill(self, records: int) -> None:
        wanted = records - len(self._held)
        if wanted > 0:
            room = max(0, self.options.batch_bytes - sum(len(entry.line) for entry in self._held))
            if room or not self._held:
                self._held += self._spool.read(wanted, room)

    def _connected(self) -> Receiver:
        if self._receiver is None:
            self._receiver = self._open_receiver(self.options)
        return self._receiver

    def _drop_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            try:
                receiver.close()
            except Exception as error:  # noqa: BLE001 - it is given up anyway
                _log.debug("audit sink %s: closing: %s", self.options.name, error)

    def _acknowledged(self, count: int) -> None:
        """Move the cursor over the first records held."""
        if not count:
            return
        last = self._held[count - 1]
        del self._held[:count]
        self._delivered += count
        self._move(last)

    def _move(self, last: Entry) -> None:
        cursor = Cursor(
            sink=self.options.name,
            mandatory=self.options.mandatory,
            next=last.seq + 1,
            event_id=last.event_id,
        )
        self._cursor = cursor
        self._file.save(cursor)  # a disk that is full stops no delivery: the next start repeats some
        self._well()

    def _widen(self, size_bytes: int) -> None:
        """After a success: larger batches again, and no pause while there is enough for another one."""
        left = self.reading().lag_records
        self._span = min(self.options.records, self._span * 2)
        if left >= self._span or (left and size_bytes > self.options.batch_bytes / 2):
            self._pause_s = 0.0

    def _narrow(self, refusal: SinkRefused, refused: int) -> None:
        """After a refusal: come closer to the record at fault; give it up if that is all that is wrong."""
        self._pause_s = 0.0
        if refused > 1 and not refusal.exact:
            self._span = max(1, refused // 2)
            return
        self._span = 1
        culprit = self._held[0]
        if self.options.mandatory or not self._takes_the_next():
            raise SinkDown(f"record {culprit.seq} was refused: {refusal}") from refusal
        self._refused += 1
        _log.error(
            "audit sink %s: record %d (%s) is given up, the receiver refuses it: %s",
            self.options.name, culprit.seq, culprit.event_id, refusal,
        )  # fmt: skip

    def _takes_the_next(self) -> bool:
        """Deliver the record after the refused one: if it is taken, the fault is in the record alone."""
        self._fill(2)
        if len(self._held) < 2:
            return False
        try:
            self._connected().deliver(self._held[1:2])
        except SinkDown:
            return False
        taken = self._held[1]
        del self._held[:2]
        self._delivered += 1
        self._move(taken)
        return True

    def _failed(self, reason: str, retry_after_s: float = 0.0) -> None:
        self._drop_receiver()
        self._failures += 1
        self._failures_in_row += 1
        ceiling_s = min(BACKOFF_LAST_S, BACKOFF_FIRST_S * 2 ** min(self._failures_in_row - 1, 10))
        jittered_s = self._random.uniform(0.0, ceiling_s)
        self._pause_s = max(jittered_s, min(retry_after_s, RETRY_AFTER_MOST_S), _BACKOFF_LEAST_S)
        if self._failures_in_row >= _TROUBLE_AT:
            self._show(reason[:_REASON_CHARS])

    def _well(self) -> None:
        self._failures_in_row = 0
        self._show("")

    def _show(self, reason: str) -> None:
        changed = bool(reason) != bool(self._reason)
        self._reason = reason
        if changed:
            self._told(self.options.name, reason)
