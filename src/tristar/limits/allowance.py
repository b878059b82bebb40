"""What may be spent, who spends it, and how much: plain values, ready to cross processes."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Scope = Literal["key", "llm", "key_llm"]
"""Whose allowance it is: a key's, an llm's over all callers, or one key's on one llm."""

Limit = Literal["requests", "tokens", "concurrency", "budget_day", "budget_month", "unpriced"]
"""What was found wanting. `unpriced`: a budget applies, and the llm has no known price."""

MOST = 100_000_000_000
MOST_MICROUSD = 1_000_000_000_000_000
"""The largest limit and the largest budget: up to these a double counts exactly, and Redis uses doubles."""


class Allowance(msgspec.Struct, frozen=True, array_like=True):
    """Limits of one subject; None is no limit, 0 lets nothing through.

    N per minute admits a burst of N and refills evenly: there is no calendar window. Budgets are
    millionths of a US dollar per calendar day and month, UTC. `allow_unpriced` says whether an
    llm without a known price may be used under a budget.

    Raises:
        ValueError: a limit is negative, or exceeds `MOST` or `MOST_MICROUSD`.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    budget_day_microusd: int | None = None
    budget_month_microusd: int | None = None
    allow_unpriced: bool = False

    def __post_init__(self) -> None:
        for limit, most in zip(self.limits, (MOST, MOST, MOST, MOST_MICROUSD, MOST_MICROUSD), strict=True):
            if limit is not None and not 0 <= limit <= most:
                raise ValueError(f"a limit must be 0 to {most}, not {limit}")

    @property
    def limits(self) -> tuple[int | None, ...]:
        """The five limits in the order of the fields."""
        return (
            self.requests_per_minute,
            self.tokens_per_minute,
            self.max_concurrent,
            self.budget_day_microusd,
            self.budget_month_microusd,
        )

    @property
    def unlimited(self) -> bool:
        """Whether nothing is limited."""
        return self.limits == (None, None, None, None, None)

    @property
    def has_budget(self) -> bool:
        """Whether money is limited."""
        return self.budget_day_microusd is not None or self.budget_month_microusd is not None


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """One holder of an allowance. `name` is unique over all scopes, and no secret: it is shown and stored."""

    name: str
    scope: Scope
    allowance: Allowance


class Amount(msgspec.Struct, frozen=True, array_like=True):
    """Tokens, input and output together, and their cost. A cost of None is not known.

    `made` is False for a request that came to nothing before it was sent: it is given back.
    """

    tokens: int
    cost_microusd: int | None = None
    made: bool = True


def any_budget(subjects: Iterable[Subject]) -> bool:
    """Whether money is limited for any of these."""
    for subject in subjects:  # on the request path: a third of what any() over `has_budget` costs
        allowance = subject.allowance
        if allowance.budget_day_microusd is not None or allowance.budget_month_microusd is not None:
            return True
    return False


def limited(subjects: Iterable[Subject | None]) -> Sequence[Subject]:
    """Those that limit anything; make it once per key and llm, and an unlimited request costs nothing."""
    return tuple(one for one in subjects if one is not None and not one.allowance.unlimited)
