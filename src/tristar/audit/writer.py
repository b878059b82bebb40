"""The one writer of an audit directory."""

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from tristar.audit.disk import Disk
from tristar.audit.draft import Draft
from tristar.audit.intake import CallbackPort, Entry, Intake, OnCommit, OwnPort, Port
from tristar.audit.keeper import Keeper
from tristar.audit.ledger import CheckpointInDoubt, Ledger
from tristar.audit.lock import WRITER_LOCK, DirectoryLock
from tristar.audit.options import WriterBusy, WriterHealth, WriterOptions
from tristar.audit.recovery import KEYS, Grown, Recovered, make_directories, recover, utc_day
from tristar.audit.reserve import Reserve
from tristar.audit.signing import Signer, VerifierKey, rotation_file
from tristar.audit.sinks.cursor import floor as sink_floor
from tristar.clock import Clock
from tristar.errors import AuditUnavailable

__all__ = ["AuditWriter", "OnCommit", "WriterBusy", "WriterHealth", "WriterOptions"]

Internal = Callable[[str, str, Mapping[str, object]], Draft]

_log = logging.getLogger(__name__)

_TICK_S = 1.0
_RETRY_FIRST_S = 0.05
_RETRY_LAST_S = 1.0
_CLOSE_TRIES = 5
_WARN_AT = 0.8


class AuditWriter:
    """Owns the directory's lock, numbers the records, makes batches durable and signed.

    Durable means: the lines are fdatasync'd, and so is a signed checkpoint that covers them. Numbers have no
    gaps and no duplicates; they are given when a batch is built, so a record that was withdrawn never had
    one. `append`, `withdraw`, `health` and `note_gap` may be called from any thread and never wait for the
    disk.
    """

    def __init__(
        self,
        directory: Path,
        lock: DirectoryLock,
        ledger: Ledger,
        recovered: Recovered,
        *,
        options: WriterOptions,
        signer: Signer,
        clock: Clock,
        on_commit: OnCommit,
        internal: Internal,
        disk: Disk,
        floor: Callable[[], int | None],
    ) -> None:
        """Use `open`."""
        self.directory = directory
        self._lock = lock
        self._ledger = ledger
        self._disk = disk
        self._signer = signer
        self._options = options
        self._clock = clock
        self._internal = internal
        self._intake = Intake(options.capacity, clock)
        self._port: Port = CallbackPort(on_commit)
        self._own_port: Port = OwnPort()
        self._reserve = Reserve(disk, directory, options.reserve_bytes)
        self._keeper = Keeper(
            disk=disk,
            directory=directory,
            options=options,
            signer=signer,
            clock=clock,
            own=self._own,
            recovered=recovered,
            floor=floor,
        )
        self._thread = threading.Thread(target=self._run, name="audit-commit", daemon=True)
        self._durable = ledger.frontier.size
        self._in_flight = 0
        self._in_flight_since_s = 0.0
        self._last_count = 0
        self._began_s = 0.0
        self._tick_due_s = 0.0
        self._down = ""
        self._full = ""
        self._retry_s = _RETRY_FIRST_S
        self._gap_lock = threading.Lock()
        self._gaps: list[Mapping[str, object]] = []
        self._closing = False
        self._closed = False
        self.recovered = recovered

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        options: WriterOptions,
        signer: Signer,
        clock: Clock,
        on_commit: OnCommit,
        internal: Internal,
        disk: Disk | None = None,
        floor: Callable[[], int | None] | None = None,
    ) -> Self:
        """Take the lock, recover, start the commit thread.

        `on_commit(tokens, error)` is called on the commit thread, once per batch and in order: with None
        once the records are durable, with an error when they are not in the log and will not be. It must not
        block. `internal` makes the writer's own records; they have no tokens. `floor` is the first sequence
        number that a mandatory sink still needs; by default the sinks' cursors say it.

        Raises:
            WriterBusy: somebody else holds the directory.
            AuditCorrupt: the log is less than, or other than, its checkpoint says.
            OSError: the disk failed.
        """
        device = disk or Disk()
        make_directories(device, directory)
        lock = DirectoryLock(directory / WRITER_LOCK)
        try:
            recovered = recover(device, directory, signer, clock.time)
            ledger = Ledger.resume(device, directory, signer, recovered)
        except BaseException:
            lock.release()
            raise
        writer = cls(
            directory, lock, ledger, recovered,
            options=options, signer=signer, clock=clock, on_commit=on_commit, internal=internal,
            disk=device, floor=floor or partial(sink_floor, directory),
        )  # fmt: skip
        writer._start()
        return writer

    def _start(self) -> None:
        self._reserve.restore()
        recovered = self.recovered
        if recovered.unclean or recovered.quarantined_files:
            self._own("audit_recovered", "audit/log", recovered.details())
        self._keeper.start()
        self._thread.start()

    # --- for callers, on any thread

    def append(self, draft: Draft, token: object = None) -> None:
        """Queue one record; `on_commit` tells its fate by the token.

        Raises:
            AuditUnavailable: the queue is full or the log has failed; nothing was queued.
        """
        self._intake.put(Entry(draft, token, self._port))

    def append_to(self, port: Port, draft: Draft, token: object) -> None:
        """As `append`, but the fate and the sequence numbers are told to this port."""
        self._intake.put(Entry(draft, token, port))
        if self._options.crowd == 1:
            self._intake.kick()  # a port's callers wait, as those of `append` do not

    def withdraw(self, tokens: Iterable[object]) -> set[object]:
        """Take back the records of these tokens that are queued and not in a write under way.

        Tokens must be hashable. Returns the tokens of those taken back: they are not in the log, and
        `on_commit` is not called for them. The others' fate is told as ever.
        """
        wanted = set(tokens)
        found = self._intake.withdraw(lambda entry: entry.token in wanted)
        return {entry.token for entry in found}

    def note_gap(self, count: int, reason: str, *, since: str = "") -> None:
        """Have the log say that so many records are missing: what a relaxed caller dropped.

        The `audit_gap` record is written as soon as the log works again; several are added up.
        """
        with self._gap_lock:
            self._gaps.append({"count": count, "reason": reason, "since": since})
        self._intake.kick()

    def rotate_key(self, data_dir: Path, *, timeout_s: float = 10.0) -> VerifierKey:
        """Replace the signing key; returns the new public key, which is also in the data directory.

        The successor is signed by its predecessor, in a `key_updated` record that the old key still covers
        and in `keys/`. So whoever has either public key can verify the whole log. Blocks until it is done.

        Raises:
            AuditUnavailable: the log cannot take the record now; the old key stays.
        """
        successor, rotation = self._signer.successor()
        name = f"{rotation.predecessor.key_id.hex()}-{rotation.successor.key_id.hex()}.json"
        self._disk.install(self.directory / KEYS / name, rotation_file(rotation))
        done, failed = threading.Event(), list[OSError]()

        def switch() -> None:
            try:
                self._adopt(successor, data_dir)
            except OSError as error:
                failed.append(error)
            done.set()

        self._own("key_updated", "audit/signing-key", rotation.details(), switch)
        if not done.wait(timeout_s) or failed:
            reason = str(failed[0]) if failed else "the record of it did not become durable in time"
            raise AuditUnavailable(f"the audit key could not be rotated: {reason}")
        return successor.verifier

    def health(self) -> WriterHealth:
        """The state at this moment; cheap, never blocks."""
        reason = self._refusal()
        in_flight_s = self._clock.monotonic() - self._in_flight_since_s if self._in_flight else 0.0
        return WriterHealth(
            ok=not reason,
            reason=reason,
            queued=len(self._intake) + self._in_flight,
            durable_seq=self._durable - 1,
            oldest_queued_s=max(in_flight_s, self._intake.oldest_s()),
            used_bytes=self._keeper.used_bytes,
            limit_bytes=self._options.total_bytes,
            warning=self._warning(),
        )

    @property
    def size(self) -> int:
        """How many records are durable: the next one's sequence number, if none is in a write under way."""
        return self._durable

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Make durable what is queued, sign that the log is closed in good order, release the directory.

        Nothing more is accepted from the moment of the call. What cannot be written, because the disk fails,
        is told to `on_commit`. Idempotent; blocks.
        """
        if self._closed:
            return
        self._closed = True
        self._intake.refusal = "the audit log is closed"
        self._closing = True
        self._intake.kick()
        self._thread.join()
        self._keeper.stop()
        self._ledger.close()
        self._lock.release()

    # --- the commit thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._finish()
        except Exception as error:  # the thread's last resort: nobody may wait for a thread that is gone
            _log.exception("the audit writer stopped")
            self._down = f"the audit writer stopped: {type(error).__name__}: restart the service"
            self._refuse()
            self._fail(self._intake.withdraw(lambda _: True), self._down)
            raise

    def _step(self) -> bool:
        """One turn: at most one batch. False when there is nothing left to do, ever."""
        if self._down and not self._closing:
            self._intake.wait(1 << 61, self._retry_s)
            self._give_up()
        else:
            self._pace()
        if self._clock.monotonic() >= self._tick_due_s:
            self._tick()
        self._own_due()
        entries, since_s = self._intake.take(self._batch_bytes())
        if entries:
            self._in_flight, self._in_flight_since_s = len(entries), since_s
            self._commit(entries, since_s)
            self._in_flight = 0
            return not (self._closing and self._down)
        if self._closing:
            return False
        self._last_count = 0
        self._intake.wait(1, _TICK_S if not self._full else 0.2)
        self._tick()
        return True

    def _pace(self) -> None:
        """Under load, let a batch gather: not too soon after the last one began."""
        due_s = self._began_s + self._options.pause_after_s(self._last_count)
        wait_s = due_s - self._clock.monotonic()
        if wait_s > 0:
            self._intake.wait(self._options.max_batch_bytes, wait_s)

    def _batch_bytes(self) -> int:
        active = self._ledger.active
        room = self._options.max_segment_bytes - (active.durable_bytes if active else 0)
        return max(1, min(room, self._options.max_batch_bytes))

    def _commit(self, entries: list[Entry], since_s: float) -> None:
        self._began_s = self._clock.monotonic()
        self._last_count = len(entries)
        first = self._ledger.frontier.size
        drafts = [entry.draft for entry in entries]
        lines = [b"%b%d%b" % (draft.head, seq, draft.tail) for seq, draft in enumerate(drafts, first)]
        if self._written(lines):
            self._durable = first + len(entries)
            self._tell(entries, first, None)
            self._well()
            self._close_full_segment()
            return
        self._intake.put_back(entries, since_s)

    def _written(self, lines: list[bytes]) -> bool:
        """Whether the lines are durable now: a second try, in a new segment where need be, included."""
        for _ in range(2):
            try:
                return self._note(self._ledger.commit(lines, utc_day(self._clock.time())))
            except CheckpointInDoubt as error:
                return self._settle(error)
            except OSError as error:
                self._hinder(error)
        return False

    def _note(self, grown: Grown) -> bool:
        while self._ledger.sealed:
            self._keeper.note(self._ledger.sealed.pop(0))
        self._keeper.note(grown)
        return True

    def _settle(self, error: OSError) -> bool:
        """The lines are durable, the checkpoint may be: the only way is forward."""
        tries = 0
        while True:
            self._hinder(error)
            try:
                return self._note(self._ledger.settle())
            except OSError as again:
                error, tries = again, tries + 1
            if self._closing and tries >= _CLOSE_TRIES:
                return False
            self._intake.wait(1 << 61, self._retry_s)

    def _hinder(self, error: OSError) -> None:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            self._full = "the disk of the audit log is full: free some space, or lower AUDIT_RETENTION_DAYS"
            self._reserve.release()
        self._down = f"the audit log cannot be written: {error.strerror or error}"
        self._retry_s = min(self._retry_s * 2, _RETRY_LAST_S)
        self._refuse()

    def _well(self) -> None:
        if self._down:
            _log.warning("the audit log can be written again")
            self._down, self._retry_s = "", _RETRY_FIRST_S
            self._refuse()

    def _give_up(self) -> None:
        """While the disk fails: tell those that have waited long enough, once no trace of them is left."""
        if self._ledger.tidy():
            dropped = self._intake.drop_waiting_since(self._clock.monotonic() - self._options.give_up_s)
            self._fail(dropped, self._down)
        if not len(self._intake):
            self._own("audit_recovered", "audit/log", {"reason": self._down})

    def _fail(self, entries: list[Entry], reason: str) -> None:
        if entries:
            self._tell(entries, 0, AuditUnavailable(reason))

    def _tell(self, entries: list[Entry], first: int, error: AuditUnavailable | None) -> None:
        port = entries[0].port
        if all(entry.port is port for entry in entries):
            self._tell_port(
                port, [entry.token for entry in entries], range(first, first + len(entries)), error
            )
            return
        shares: dict[Port, list[tuple[object, int]]] = {}
        for seq, entry in enumerate(entries, first):
            shares.setdefault(entry.port, []).append((entry.token, seq))
        for port, share in shares.items():
            self._tell_port(port, [token for token, _ in share], [seq for _, seq in share], error)

    def _tell_port(
        self, port: Port, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None
    ) -> None:
        try:
            port.settle(tokens, seqs if error is None else (), error)
        except Exception:  # noqa: BLE001 - the last resort: one caller's fault may not stop the others' records
            _log.exception("an audit commit callback failed")

    def _close_full_segment(self) -> None:
        active = self._ledger.active
        if active is not None and active.durable_bytes >= self._options.max_segment_bytes:
            self._end_segment("size")

    def _end_segment(self, why: str) -> None:
        active, closed = self._ledger.active, self._ledger.end_segment()
        if active is None or closed is None:
            return
        self._keeper.note(closed)
        details = {
            "segment": active.path.name,
            "first": closed.first,
            "last": closed.frontier.size - 1,
            "records": active.records,
            "bytes": active.durable_bytes,
            "root": closed.frontier.root().hex(),
            "reason": why,
        }
        self._own("audit_segment_closed", f"audit/segments/{active.path.name}", details)

    def _tick(self) -> None:
        """What the passing of time asks for."""
        self._tick_due_s = self._clock.monotonic() + _TICK_S
        self._refuse()
        active = self._ledger.active
        if active is not None and active.records > 1 and active.day != utc_day(self._clock.time()):
            self._end_segment("day")
        if self._full and self._reserve.restore():
            _log.warning("the disk of the audit log has space again")
            self._own("audit_recovered", "audit/log", {"reason": self._full})
            self._full = ""
            self._refuse()

    def _adopt(self, successor: Signer, data_dir: Path) -> None:
        """On the commit thread: the key is in its file before anything is signed with it; then both
        slots are."""
        successor.install(data_dir, keep_as=self._signer.verifier.key_id.hex())
        self._signer = self._ledger.slots.signer = successor
        self._keeper.adopt(successor)
        for _ in range(2):
            self._ledger.sign_state(closed=False)

    def _own_due(self) -> None:
        """Turn what is to be recorded of lost records into one record, if the log can take it."""
        if not self._gaps or self._down:
            return
        with self._gap_lock:
            gaps, self._gaps = self._gaps, []
        count = sum(int(str(gap["count"])) for gap in gaps)
        self._own("audit_gap", "audit/log", {"count": count, "parts": gaps[:100]})

    def _own(
        self,
        action: str,
        resource: str,
        details: Mapping[str, object],
        then: Callable[[], None] | None = None,
    ) -> None:
        """Queue one of the writer's own records, whatever the state."""
        self._intake.put(Entry(self._internal(action, resource, details), then, self._own_port), forced=True)

    def _refusal(self) -> str:
        if self._closing:
            return "the audit log is closed"
        return self._full or self._down or self._over_limit()

    def _refuse(self) -> None:
        self._intake.refusal = self._refusal()

    def _over_limit(self) -> str:
        limit = self._options.total_bytes
        if limit is None or self._keeper.used_bytes < limit:
            return ""
        return "the audit directory has reached AUDIT_TOTAL_SIZE_MB: raise it, or lower AUDIT_RETENTION_DAYS"

    def _warning(self) -> str:
        limit = self._options.total_bytes
        if limit is not None and self._keeper.used_bytes >= _WARN_AT * limit:
            return (
                f"the audit directory holds {self._keeper.used_bytes} of {limit} bytes (AUDIT_TOTAL_SIZE_MB)"
            )
        return self._keeper.warning

    def _finish(self) -> None:
        """The last thing the thread does: nothing is queued, or the disk fails."""
        self._fail(self._intake.withdraw(lambda _: True), self._down or "the audit log is closed")
        if not self._ledger.tidy():
            return
        try:
            self._ledger.sign_state(closed=True)
        except OSError as error:
            _log.error("the audit log could not be signed as closed: %s", error)
