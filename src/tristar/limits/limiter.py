"""The protocol of every limiter: reserve before the call, settle after it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from tristar.errors import BudgetExceeded, GatewayError, LimitExceeded, Unpriced
from tristar.limits.allowance import Amount, Limit, Subject
from tristar.limits.calendar import DAY_S
from tristar.limits.headers import rate_limit_headers
from tristar.limits.usage import IN_PROGRESS_RETRY_S, Refusal, Standings, Usage

NOTHING = Amount(0, 0)
NOT_MADE = Amount(0, 0, made=False)
"""The settlement of a request that was never sent: it consumes nothing at all."""


class Reservation(msgspec.Struct, eq=False):
    """Leave for one call, until it is settled or its lease expires. Belongs to the limiter that gave it.

    `shared` says that it stands in the store that all replicas share; `kept` is the limiter's own.
    """

    id: str
    subjects: Sequence[Subject]
    need: Amount
    standings: Standings
    shared: bool = False
    kept: Sequence[Any] = ()
    settled: bool = False


FREE = Reservation("", (), NOTHING, Standings(), settled=True)
"""What a request gets that nothing limits; settling it does nothing."""


class Limiter(Protocol):
    """Admits requests within their allowances. Event-loop thread only.

    Guarantees, for every subject and every limiter that shares its store:

    - `reserve` is atomic over all its subjects: all are drawn on, or none; a refusal consumes nothing.
    - requests: never more than N + N * w / 60 are admitted in any w seconds, at any concurrency.
    - concurrency: never more than `max_concurrent` leases are alive. A call that outlives its lease
      is no longer counted: lease it for as long as it may take.
    - tokens and money: what is settled plus what is reserved never exceeds the limit by a
      reservation. Beyond that it is exceeded only by what calls took above their estimate: at most
      the sum, over the calls in progress at one moment, of actual - estimate where that is positive.
      It is a debt: nothing more is admitted until it has drained, or the budget's next period begins.
    - `settle` corrects tokens and money to what was taken and frees the lease, once: a second call
      changes nothing. A reservation that is never settled is charged at its estimate when its lease
      expires, and its late settlement changes nothing.
    - a request settled as `NOT_MADE` is given back, unless its lease has expired. What refilled
      meanwhile may count twice: at most N / 60 for each second between the two.
    """

    def reserve_now(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal | None:
        """`reserve`, where no waiting is needed to know; None: ask `reserve`. Without subjects: `FREE`."""
        ...

    async def reserve(
        self, subjects: Sequence[Subject], need: Amount, lease_s: float
    ) -> Reservation | Refusal:
        """Draw one request of the estimated size on every subject, or on none.

        `subjects` have distinct names and at least one limit each (see `limited`). The lease ends
        after `lease_s` seconds unless it is settled before.

        Raises:
            Unavailable: the limits cannot be known, and the operator wants no guess.
        """
        ...

    def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """Charge what was taken, free the lease. None: not known, the estimate stands.

        Never waits and never raises, so that any `finally` may call it. A cost of None: the estimate's.
        """
        ...


class Readable(Limiter, Protocol):
    """A limiter that tells how much is used."""

    async def usages(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """The use of each, in their order, as it is now; draws on nothing.

        Raises:
            Unavailable: it cannot be known.
        """
        ...


_TOLD: dict[Limit, str] = {
    "requests": "{limit} requests per minute",
    "tokens": "{limit} tokens per minute",
    "concurrency": "{limit} requests at a time",
    "budget_day": "{limit} USD per day",
    "budget_month": "{limit} USD per month",
}
_WHOSE = {"key": "This key", "llm": "This model", "key_llm": "This key with this model"}


def limit_exceeded(refused: Refusal, time_s: float = 0.0) -> GatewayError:
    """The error that a client sees: `LimitExceeded`, `BudgetExceeded` or `Unpriced`.

    It names no key, but the limit. `time_s` is the Unix time of the request: a budget says when it renews.
    """
    whose = _WHOSE[refused.subject.scope]
    if refused.limit == "unpriced":
        return Unpriced(
            f"{whose} has a budget, and the model asked for has no known price. Use a priced model, or"
            " have the key allow unpriced ones.",
            param="model",
        )
    told = _TOLD[refused.limit].format(limit=_figure(refused))
    wait_s = refused.retry_after_s
    headers = rate_limit_headers(refused.standings)
    if wait_s is None:
        message = f"{whose} is limited to {told}, and this request alone exceeds that. Send a smaller one."
    else:
        message = f"{whose} has reached its limit of {told}. Try again in {max(wait_s, 0.001):.3g} s."
    if refused.limit not in {"budget_day", "budget_month"}:
        return LimitExceeded(message, retry_after_s=wait_s, headers=headers)
    if wait_s is not None and wait_s > IN_PROGRESS_RETRY_S:
        message = f"{whose} has spent its budget of {told}. It renews at {_renewal(time_s + wait_s)}."
    elif wait_s is not None:
        message = f"What is left of the budget of {told} is reserved by requests in progress. Try again."
    return BudgetExceeded(message, retry_after_s=wait_s, headers=headers)


def _renewal(time_s: float) -> str:
    """The midnight, UTC, that is nearest to this Unix time: periods begin at one."""
    midnight = datetime.fromtimestamp(round(time_s / DAY_S) * DAY_S, UTC)
    return midnight.isoformat().replace("+00:00", "Z")


def _figure(refused: Refusal) -> str:
    allowance = refused.subject.allowance
    match refused.limit:
        case "requests":
            return str(allowance.requests_per_minute)
        case "tokens":
            return str(allowance.tokens_per_minute)
        case "concurrency":
            return str(allowance.max_concurrent)
        case "budget_day":
            return f"{(allowance.budget_day_microusd or 0) / 1e6:g}"
        case _:
            return f"{(allowance.budget_month_microusd or 0) / 1e6:g}"


def charge(reservation: Reservation, actual: Amount | None) -> tuple[int, int]:
    """Tokens and microdollars that a settlement charges: the estimate's where nothing better is known."""
    need = reservation.need
    if actual is None:
        return need.tokens, need.cost_microusd or 0
    cost = need.cost_microusd if actual.cost_microusd is None else actual.cost_microusd
    return actual.tokens, cost or 0
