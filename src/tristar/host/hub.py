"""The hub: the one place of a host where requests are recorded and counted.

It belongs to the process that holds the audit directory. Audit record and metrics of a request
arrive together and are entered together, so the two can never disagree, whatever dies.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from tristar.audit.draft import Draft
from tristar.audit.options import WriterHealth
from tristar.audit.record import Action, Scribe, timestamp
from tristar.audit.writer import AuditWriter
from tristar.clock import Clock
from tristar.errors import AuditUnavailable, NoRecord
from tristar.exchange import Account
from tristar.host.calls import Calls
from tristar.host.chronicle import Chronicle
from tristar.host.folds import Fold, Folds
from tristar.host.vitals import Vitals
from tristar.ledger import Notice
from tristar.metrics.books import Books
from tristar.routing.board import Board, BreakerBoard
from tristar.routing.breaker import State
from tristar.routing.catalog import Catalog

TICK_S = 0.1
REFUSAL_STATUS = 503
_NOT_OPEN = "the audit writer is not open"

Settled = Callable[[bool], None]

_log = structlog.get_logger("tristar.host")


class Entry(msgspec.Struct, eq=False):
    """One record on its way to the disk, and what to do when its fate is known."""

    account: Account | None
    queued: float
    settled: Settled | None
    counted: bool = False
    decided: bool = False


class Gap(msgspec.Struct, eq=False):
    """What records that could not be written would have told: so much the books have and the log has not."""

    count: int = 0
    requests: int = 0
    attempts: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    cost_nanousd: int = 0

    def add(self, account: Account | None) -> None:
        """One more record is lost, with what it would have told."""
        self.count += 1
        if account is None:
            return
        self.requests += 1
        self.attempts += len(account.attempts)
        self.tokens_input += sum(attempt.tokens_input for attempt in account.attempts)
        self.tokens_output += sum(attempt.tokens_output for attempt in account.attempts)
        self.cost_nanousd += sum(attempt.cost_nanousd for attempt in account.attempts)

    def merge(self, other: "Gap") -> None:
        """Take the other's losses over."""
        self.count += other.count
        self.requests += other.requests
        self.attempts += other.attempts
        self.tokens_input += other.tokens_input
        self.tokens_output += other.tokens_output
        self.cost_nanousd += other.cost_nanousd


class Hub:
    """Enters records and accounts; keeps the breakers. Event-loop thread only, but for `on_commit`.

    Strict: an account is counted when its record is durable, or with status 503 when it will not
    be within `deadline_s`. Relaxed: it is counted at once, and what is lost is counted apart. In
    both, requests counted = records + what `ailinux_audit_lost_total` counts.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        scribe: Scribe,
        books: Books | None,
        catalog: Catalog,
        strict: bool,
        deadline_s: float,
    ) -> None:
        self._loop = loop
        self.clock = clock
        self.scribe = scribe
        self.books = books
        self._strict = strict
        self._deadline_s = deadline_s
        self._writer: AuditWriter | None = None
        self._pending: dict[Entry, None] = {}
        self._gap = Gap()
        self._gap_since = 0.0
        self._gap_queued = False
        self._unwell = ""
        self._timer: asyncio.TimerHandle | None = None
        self._on_health: list[Callable[[str], None]] = []
        self._folds = Folds(clock, self._record_fold)
        self._on_breaker: list[Callable[[str], None]] = []
        self.calls = Calls()
        self.vitals = Vitals(clock)
        self.chronicle: Chronicle | None = None
        """Where something is measured: how the host fares over time."""
        self.lost = 0
        """Records that will never be durable, since the start."""
        self.own_board = BreakerBoard(catalog, clock, self._breaker_changed)
        self.board: Board = self.own_board
        """What decides: this host's own breakers, or those that it shares with others."""

    # -- the writer ----------------------------------------------------------

    def attach(self, writer: AuditWriter) -> None:
        """Take the opened writer; it reports to `on_commit`."""
        self._writer = writer
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def on_commit(self, tokens: Sequence[object], error: AuditUnavailable | None) -> None:
        """See `AuditWriter.open`; called from the writer's thread."""
        self._loop.call_soon_threadsafe(self._committed, tokens, error)

    @property
    def unwell(self) -> str:
        """Why no record can be made durable now; empty when it can."""
        return self._unwell

    def check(self) -> None:
        """Raise `NoRecord` while strict mode could not keep its promise."""
        if self._strict and self._unwell:
            raise NoRecord(
                f"The audit log cannot take this request's record: {self._unwell}", retry_after_s=1.0
            )

    def watch_health(self, told: Callable[[str], None]) -> None:
        """Call `told` with the reason, or "" for well, on every change."""
        self._on_health.append(told)

    def watch_breakers(self, told: Callable[[str], None]) -> None:
        """Call `told` with the llm_id whenever a breaker's permit, deadline or state changes."""
        self._on_breaker.append(told)

    # -- entering ------------------------------------------------------------

    def enter(self, draft: Draft | None, account: Account | None, settled: Settled | None) -> None:
        """Record and count one thing; `settled(durable)` is called once its fate is known.

        Without a draft it is only counted; without an account only recorded.
        """
        if draft is None:
            self._count(account)
            if settled is not None:
                settled(True)  # noqa: FBT003 - the callback's one argument
            return
        entry = Entry(account, self.clock.monotonic(), settled, counted=not self._strict)
        writer = self._writer
        try:
            if writer is None:
                raise AuditUnavailable(_NOT_OPEN)  # noqa: TRY301 - lost like any other
            writer.append(draft, entry)
        except AuditUnavailable as error:
            self._lose(entry, str(error))
        else:
            self._pending[entry] = None
        if not self._strict:
            self._count(account)

    def _append(self, draft: Draft, token: object) -> None:
        if self._writer is None:
            raise AuditUnavailable(_NOT_OPEN)
        self._writer.append(draft, token)

    def _count(self, account: Account | None) -> None:
        if account is None:
            return
        try:
            if self.books is not None:
                self.books.count(account)
            if account.action == "llm_call":
                self.calls.take(account)
                self.vitals.take(account)
            if self.chronicle is not None:
                self.chronicle.take(account)
        except Exception:  # noqa: BLE001 - the record is made: nobody's answer may hang on a defect of counting
            _log.exception("a request could not be counted")

    def _committed(self, tokens: Sequence[object], error: AuditUnavailable | None) -> None:
        if error is not None:
            self._set_health(str(error))
            for token in tokens:
                self._token_lost(token, str(error))
            return
        now = self.clock.monotonic()
        oldest = now
        for token in tokens:
            if isinstance(token, Entry):
                oldest = min(oldest, token.queued)
                self._durable(token, now)
            elif isinstance(token, Gap):
                self._gap_queued = False
        self._set_health("")
        if self.books is not None:
            self.books.audit_committed(len(tokens), now - oldest)
        if self.chronicle is not None:
            self.chronicle.committed(len(tokens))

    def _durable(self, entry: Entry, now: float) -> None:
        self._pending.pop(entry, None)
        if entry.decided:
            return  # given up at the deadline: the client was refused, the record came late
        entry.decided = True
        account = entry.account
        if account is not None and not entry.counted:
            account.duration_s += now - entry.queued  # the caller waited for the disk too
            self._count(account)
        if entry.settled is not None:
            entry.settled(True)  # noqa: FBT003 - the callback's one argument

    def _token_lost(self, token: object, reason: str) -> None:
        if isinstance(token, Gap):
            self._gap_queued = False
            self._gap.merge(token)
        elif isinstance(token, Entry):
            self._lose(token, reason)

    def _lose(self, entry: Entry, reason: str) -> None:
        """The record will not be in the log: in strict mode the client is refused."""
        self._pending.pop(entry, None)
        if not self._gap.count:
            self._gap_since = self.clock.time()
        self._gap.add(entry.account)
        self.lost += 1
        self._set_health(reason)
        if self.books is not None:
            self.books.audit_lost(1)
        self._refuse(entry)

    def _refuse(self, entry: Entry) -> None:
        if entry.decided:
            return
        entry.decided = True
        if entry.account is not None and not entry.counted:
            entry.account.status = REFUSAL_STATUS
            self._count(entry.account)
        if entry.settled is not None:
            entry.settled(False)  # noqa: FBT003 - the callback's one argument

    # -- health ----------------------------------------------------------------

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._give_up_overdue()
        self._folds.sweep()
        if self._gap.count and not self._gap_queued:
            self._record_gap()
        elif self._writer is not None:
            self._read_health(self._writer.health())

    def _read_health(self, health: WriterHealth) -> None:
        if not health.ok:
            self._set_health(health.reason)
        elif self._unwell and health.oldest_queued_s < self._deadline_s:
            self._set_health("")

    def _give_up_overdue(self) -> None:
        """No client waits for the disk longer than the deadline."""
        overdue = self.clock.monotonic() - self._deadline_s
        late = [entry for entry in self._pending if entry.queued <= overdue]
        if not late:
            return
        withdrawn = self._writer.withdraw(late) if self._writer is not None else set()
        reason = f"no durable record within {self._deadline_s:g} s"
        for entry in late:
            if entry in withdrawn:
                self._lose(entry, reason)
            else:
                # In a write under way: only its commit or failure will tell whether it is lost.
                self._set_health(reason)
                self._refuse(entry)

    def _record_gap(self) -> None:
        """Say in the log what is missing from it; its success also proves the log well again."""
        gap = self._gap
        draft = self.scribe.event(
            "audit_gap",
            "audit/log",
            "CRITICAL",
            {
                "count": gap.count,
                "requests": gap.requests,
                "attempts": gap.attempts,
                "tokens_input": gap.tokens_input,
                "tokens_output": gap.tokens_output,
                "cost_usd": gap.cost_nanousd / 1e9,
                "since": timestamp(self._gap_since),
                "reason": self._unwell or None,
            },
        )
        try:
            self._append(draft, gap)
        except AuditUnavailable as error:
            self._set_health(str(error))
        else:
            self._gap_queued, self._gap = True, Gap()

    def _set_health(self, reason: str) -> None:
        if reason == self._unwell:
            return
        self._unwell = reason
        for told in self._on_health:
            told(reason)

    # -- breakers ----------------------------------------------------------------

    def _breaker_changed(self, llm_id: str, before: State, now: State) -> None:
        for told in self._on_breaker:
            told(llm_id)
        if before is now:
            return  # only a new permit, or a later deadline
        if self.books is not None:
            self.books.breaker_transition(llm_id, now.name.lower())
        level = "WARNING" if now is State.OPEN else "INFO"
        self.event("breaker_transition", f"llm:{llm_id}", {"to": now.name.lower()}, level)

    def event(
        self, action: Action, resource: str, details: Mapping[str, object], level: str = "INFO"
    ) -> None:
        """Record something that no request waits for."""
        self.enter(self.scribe.event(action, resource, level, details), None, None)

    # -- who was let in and who was not ------------------------------------------------

    def notice(self, notice: Notice) -> None:
        """Record it, or count it where its like was recorded a moment ago."""
        self._folds.take(notice)

    def note_revoked(self, seconds: float) -> None:
        """A serving process still took a revoked key for so long."""
        if self.books is not None:
            self.books.key_revoked(seconds)

    def settle_notices(self) -> None:
        """Record what is counted and not recorded yet: the end is near."""
        self._folds.flush()

    def _record_fold(self, fold: Fold) -> None:
        last = fold.last
        details: dict[str, object] = {"count": fold.count, "reasons": dict(fold.reasons)}
        if fold.folded:
            details |= {"since": timestamp(fold.since), "until": timestamp(fold.until)}
        draft = self.scribe.event(
            last.action,
            last.resource,
            last.level,
            details,
            user_id=last.user_id,
            # Whom the request is for is not known yet, so nothing could erase a session that names them.
            session_id=last.session_id if self.scribe.keyring is None else None,
            trace_id=last.trace_id,
            ip_address=last.ip_address,
            outcome="success" if last.action == "auth_success" else "refused",
        )
        self.enter(draft, None, None)

    def close(self) -> None:
        """Stop ticking, make durable what is queued, release the directory."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writer is not None:
            self._writer.close()
