"""How much of a subject's limits is used, in the units in which they are set: for those who look on."""

from collections.abc import Iterator
from typing import Final

import msgspec

from tristar.limits.allowance import Limit, Scope, Subject
from tristar.limits.usage import MINUTE_MS, Usage

NEAR: Final = 0.8
"""From this share of a limit on, its subject is near it."""


class LimitUse(msgspec.Struct):
    """One limit: so much of so much. Requests and tokens per minute, requests at a time, US dollars."""

    limit: Limit
    of: float
    used: float
    share: float


class Use(msgspec.Struct):
    """One subject, and the largest share of a limit that it uses; a debt makes it more than 1."""

    subject: str
    scope: Scope
    share: float
    near: bool
    limits: list[LimitUse]


def use(subject: Subject, usage: Usage) -> Use:
    """The use of every limit that the subject has."""
    limits = [
        LimitUse(limit, of, used, used / of if of else 1.0) for limit, of, used in _used(subject, usage)
    ]
    share = max((each.share for each in limits), default=0.0)
    return Use(subject.name, subject.scope, share, share >= NEAR, limits)


def _used(subject: Subject, usage: Usage) -> Iterator[tuple[Limit, float, float]]:
    allowance = subject.allowance
    if allowance.requests_per_minute is not None:
        yield "requests", allowance.requests_per_minute, usage.requests / MINUTE_MS
    if allowance.tokens_per_minute is not None:
        yield "tokens", allowance.tokens_per_minute, usage.tokens / MINUTE_MS + usage.held_tokens
    if allowance.max_concurrent is not None:
        yield "concurrency", allowance.max_concurrent, usage.concurrent
    if allowance.budget_day_microusd is not None:
        yield "budget_day", allowance.budget_day_microusd / 1e6, _usd(usage.spent_day, usage)
    if allowance.budget_month_microusd is not None:
        yield "budget_month", allowance.budget_month_microusd / 1e6, _usd(usage.spent_month, usage)


def _usd(spent_microusd: int, usage: Usage) -> float:
    return (spent_microusd + usage.held_microusd) / 1e6
