"""The llm calls of a host for those who look on: the last that ended, and those in progress. No content."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from tristar.audit import redact
from tristar.audit.record import timestamp
from tristar.exchange import Account, Attempt
from tristar.host.slots import Begun

KEPT: Final = 1_000
NAME_CHARS: Final = 200


class AttemptView(msgspec.Struct):
    """One attempt of a call. `cost_usd` of None: its price is not known."""

    llm_id: str
    provider: str
    model: str
    status: str
    error_type: str | None
    reason: str | None
    http_status: int | None
    started_ms: float
    duration_ms: float
    first_token_ms: float | None
    tokens_input: int
    tokens_output: int
    tokens_source: str
    cost_usd: float | None
    finish_reason: str | None


class CallView(msgspec.Struct):
    """One call that ended. `n` counts the calls of this host; a restart begins anew."""

    n: int
    id: str
    trace_id: str | None
    started_at: str
    key_id: str | None
    endpoint: str
    status: int
    asked: str | None
    llm_id: str | None
    stream: bool
    duration_ms: float
    tokens_input: int
    tokens_output: int
    cost_usd: float | None
    rejected_by: str | None
    attempts: list[AttemptView]


class BegunView(msgspec.Struct):
    """One call in progress."""

    id: str
    trace_id: str
    started_at: str
    key_id: str | None
    endpoint: str


class CallsView(msgspec.Struct):
    """Calls, the newest first. `next_after` asks for what comes later; `missed` ended and are not shown."""

    data: list[CallView]
    in_progress: list[BegunView]
    in_progress_count: int
    next_after: int
    missed: int


class Calls:
    """The last `kept` calls of all processes of a host. Event-loop thread only."""

    def __init__(self, kept: int = KEPT) -> None:
        self._last: deque[Account] = deque(maxlen=kept)
        self._count = 0

    def take(self, account: Account) -> None:
        """One more call of an llm has ended."""
        self._count += 1
        self._last.append(account)

    def view(self, after: int, limit: int, begun: Iterable[Begun] = ()) -> CallsView:
        """The newest `limit` of those behind number `after`; a number of another run counts as 0."""
        if not 0 <= after <= self._count:
            after = 0
        behind = self._count - after
        shown = min(behind, limit, len(self._last))
        newest = islice(reversed(self._last), shown)
        data = [_shown(self._count - back, account) for back, account in enumerate(newest)]
        running = sorted((each for each in begun if each.action == "llm_call"), key=_age)
        some = [_begun(each) for each in running[:limit]]
        return CallsView(data, some, len(running), self._count, behind - shown)


def _age(begun: Begun) -> float:
    return begun.started_at


def _begun(begun: Begun) -> BegunView:
    return BegunView(
        f"req_{begun.event_id}", begun.trace_id, timestamp(begun.started_at), begun.actor, begun.endpoint
    )


def _shown(n: int, account: Account) -> CallView:
    attempts = account.attempts
    costs = [_cost_usd(attempt) for attempt in attempts]
    known = [cost for cost in costs if cost is not None]
    return CallView(
        n=n,
        id=account.request_id,
        trace_id=account.trace_id,
        started_at=timestamp(account.started_at),
        key_id=account.actor,
        endpoint=account.endpoint,
        status=account.status,
        # A client writes here what it likes, its key perhaps.
        asked=None if account.asked is None else redact.text(account.asked[:NAME_CHARS]),
        llm_id=account.llm_id,
        stream=account.streamed,
        duration_ms=_ms(account.duration_s),
        tokens_input=sum(attempt.tokens_input for attempt in attempts),
        tokens_output=sum(attempt.tokens_output for attempt in attempts),
        cost_usd=sum(known) if len(known) == len(costs) and costs else None,
        rejected_by=account.rejected_by,
        attempts=[_tried(attempt) for attempt in attempts],
    )


def _tried(attempt: Attempt) -> AttemptView:
    return AttemptView(
        llm_id=attempt.llm_id,
        provider=attempt.provider,
        model=attempt.model,
        status=attempt.status,
        error_type=attempt.error_type,
        reason=attempt.reason,
        http_status=attempt.http_status,
        started_ms=_ms(attempt.started_s),
        duration_ms=_ms(attempt.duration_s),
        first_token_ms=None if attempt.first_token_s is None else _ms(attempt.first_token_s),
        tokens_input=attempt.tokens_input,
        tokens_output=attempt.tokens_output,
        tokens_source=attempt.tokens_source,
        cost_usd=_cost_usd(attempt),
        finish_reason=attempt.finish_reason,
    )


def _cost_usd(attempt: Attempt) -> float | None:
    """Nothing to price costs nothing."""
    return None if attempt.price == "unknown" else attempt.cost_nanousd / 1e9


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
