"""What a subject has spent, in exact integers, and what follows from it; the same rules for every store.

Per-minute limits are leaky buckets: what was spent drains at N per minute, and is refused above N.
Tokens and money of requests in progress are held apart and do not drain: they are charged when the
request settles, with the amount that it really took. So what drains is what was used, and a
generous estimate costs throughput only while its request runs.
"""

import math
from collections.abc import Iterator, Sequence

import msgspec

from tristar.limits.allowance import Allowance, Amount, Limit, Subject
from tristar.limits.calendar import day_left_s, month_left_s

MINUTE_MS = 60_000
IN_PROGRESS_RETRY_S = 1.0
"""Nobody knows when a request in progress will end; a client may ask again after this."""


class Usage:
    """One subject's counters at one moment.

    `requests` and `tokens` are what has not drained yet, in 60000ths of one (a limit of N drains N
    of them per millisecond); `held_*` belongs to the `concurrent` requests in progress; `spent_*`
    is millionths of a dollar in the current day and month.
    """

    __slots__ = (
        "concurrent",
        "held_microusd",
        "held_tokens",
        "requests",
        "spent_day",
        "spent_month",
        "tokens",
    )

    def __init__(  # noqa: PLR0917 - the fields in their order, as the script replies them
        self,
        requests: int = 0,
        tokens: int = 0,
        held_tokens: int = 0,
        concurrent: int = 0,
        held_microusd: int = 0,
        spent_day: int = 0,
        spent_month: int = 0,
    ) -> None:
        self.requests = requests
        self.tokens = tokens
        self.held_tokens = held_tokens
        self.concurrent = concurrent
        self.held_microusd = held_microusd
        self.spent_day = spent_day
        self.spent_month = spent_month

    def fits(self, allowance: Allowance, tokens: int, microusd: int) -> bool:
        """Whether one more request of that size is within every limit that it draws on."""
        limit = allowance.requests_per_minute
        if limit is not None and self.requests + MINUTE_MS > limit * MINUTE_MS:
            return False
        limit = allowance.max_concurrent
        if limit is not None and self.concurrent >= limit:
            return False
        limit = allowance.tokens_per_minute
        if (
            limit is not None
            and tokens
            and self.tokens + (self.held_tokens + tokens) * MINUTE_MS > limit * MINUTE_MS
        ):
            return False
        return not microusd or self._affords(allowance, microusd)

    def _affords(self, allowance: Allowance, microusd: int) -> bool:
        taken = self.held_microusd + microusd
        day, month = allowance.budget_day_microusd, allowance.budget_month_microusd
        if day is not None and self.spent_day + taken > day:
            return False
        return month is None or self.spent_month + taken <= month


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """How far one per-minute limit is used: what is left of it now, and milliseconds until all of it is."""

    limit: int
    remaining: int
    reset_ms: int


class Standings(msgspec.Struct, frozen=True, array_like=True):
    """The tightest per-minute limits that apply to a request; None where there is none."""

    requests: Standing | None = None
    tokens: Standing | None = None


def tightest(first: Standings, second: Standings) -> Standings:
    """Of each kind the one of which less is left."""
    return Standings(
        _tighter(first.requests, second.requests),
        _tighter(first.tokens, second.tokens),
    )


def _tighter(first: Standing | None, second: Standing | None) -> Standing | None:
    if first is None or second is None:
        return first or second
    return second if second.remaining < first.remaining else first


class Refusal(msgspec.Struct, frozen=True, array_like=True):
    """Why a request is not admitted; nothing was consumed.

    Of all limits in its way it names the one that takes longest. `retry_after_s` of None: waiting
    does not help (the request is larger than the limit, or the llm has no price).
    """

    subject: Subject
    limit: Limit
    retry_after_s: float | None
    standings: Standings = Standings()


def refusal(
    subjects: Sequence[Subject], usages: Sequence[Usage], need: Amount, time_s: float
) -> Refusal | None:
    """The limit that a request of that size will run into for longest, or None. `time_s` is Unix time."""
    worst: tuple[Subject, Limit, float] | None = None
    for subject, usage in zip(subjects, usages, strict=True):
        for limit, wait_s in _waits(subject.allowance, usage, need, time_s):
            if worst is None or wait_s > worst[2]:
                worst = subject, limit, wait_s
    if worst is None:
        return None
    subject, limit, wait_s = worst
    return Refusal(subject, limit, None if math.isinf(wait_s) else wait_s, standings(subjects, usages))


def unpriced(subjects: Sequence[Subject], need: Amount) -> Refusal | None:
    """The refusal of a request whose cost is not known, under a budget that does not allow it."""
    if need.cost_microusd is not None:
        return None
    for subject in subjects:
        if subject.allowance.has_budget and not subject.allowance.allow_unpriced:
            return Refusal(subject, "unpriced", None)
    return None


def standings(subjects: Sequence[Subject], usages: Sequence[Usage]) -> Standings:
    """What `x-ratelimit-*` tells: of each kind the limit of which least is left."""
    requests = tokens = None
    requests_left = tokens_left = math.inf
    for subject, usage in zip(subjects, usages, strict=True):
        allowance = subject.allowance
        limit = allowance.requests_per_minute
        if limit is not None:
            used = usage.requests
            left = limit * MINUTE_MS - used
            if left < requests_left:
                requests_left = left
                requests = Standing(limit, left // MINUTE_MS if left > 0 else 0, _reset_ms(used, limit))
        limit = allowance.tokens_per_minute
        if limit is not None:
            used = usage.tokens + usage.held_tokens * MINUTE_MS
            left = limit * MINUTE_MS - used
            if left < tokens_left:
                tokens_left = left
                tokens = Standing(limit, left // MINUTE_MS if left > 0 else 0, _reset_ms(used, limit))
    return Standings(requests, tokens)


def _reset_ms(used: int, limit: int) -> int:
    return -(-used // limit) if limit else 0


def _waits(allowance: Allowance, usage: Usage, need: Amount, time_s: float) -> Iterator[tuple[Limit, float]]:
    """Each limit in the way, and seconds until it may not be."""
    limit = allowance.requests_per_minute
    if limit is not None and usage.requests + MINUTE_MS > limit * MINUTE_MS:
        yield "requests", _drained_s(usage.requests, 1, limit)
    limit = allowance.tokens_per_minute
    if limit is not None and need.tokens:
        taken = usage.held_tokens + need.tokens
        if usage.tokens + taken * MINUTE_MS > limit * MINUTE_MS:
            wait_s = math.inf if need.tokens > limit else IN_PROGRESS_RETRY_S
            yield "tokens", wait_s if taken > limit else _drained_s(usage.tokens, taken, limit)
    limit = allowance.max_concurrent
    if limit is not None and usage.concurrent >= limit:
        yield "concurrency", IN_PROGRESS_RETRY_S if limit else math.inf
    yield from _budget_waits(allowance, usage, need.cost_microusd or 0, time_s)


def _budget_waits(
    allowance: Allowance, usage: Usage, microusd: int, time_s: float
) -> Iterator[tuple[Limit, float]]:
    if not microusd:
        return
    taken = usage.held_microusd + microusd
    day, month = allowance.budget_day_microusd, allowance.budget_month_microusd
    if day is not None and usage.spent_day + taken > day:
        yield "budget_day", _renewed_s(usage.spent_day, microusd, day, day_left_s(time_s))
    if month is not None and usage.spent_month + taken > month:
        yield "budget_month", _renewed_s(usage.spent_month, microusd, month, month_left_s(time_s))


def _drained_s(used: int, taken: int, limit: int) -> float:
    """Seconds until `taken` more fit: to the millisecond at which they do."""
    if taken > limit:
        return math.inf
    over = used + (taken - limit) * MINUTE_MS
    return -(-over // limit) / 1000


def _renewed_s(spent: int, microusd: int, budget: int, period_left_s: float) -> float:
    """Seconds until a budget may have room again: at the next period, or when those in progress cost less."""
    if microusd > budget:
        return math.inf
    return IN_PROGRESS_RETRY_S if spent + microusd <= budget else period_left_s
