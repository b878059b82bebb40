"""What one request draws on the limits of its key and of the llms it is sent to, and gives back."""

from collections.abc import Sequence

import msgspec

from tristar.auth.actor import NO_LIMITS, Actor, Limits
from tristar.clock import Clock
from tristar.errors import GatewayError
from tristar.exchange import Attempt, Exchange
from tristar.limits.allowance import MOST, MOST_MICROUSD, Allowance, Amount, Subject, any_budget, limited
from tristar.limits.limiter import FREE, NOT_MADE, Limiter, Reservation, limit_exceeded
from tristar.limits.usage import Refusal
from tristar.providers.surface import BYTES_PER_TOKEN, Call
from tristar.routing.catalog import Llm
from tristar.routing.price import Price
from tristar.routing.prices import Prices

LEASE_MARGIN_S = 5.0
"""A lease outlives the request's deadline by this, so that a late end still finds it."""

OUTPUT_GUESS_TOKENS = 512
"""Reserved for the answer to a request that does not say how long it may be."""

KNOWN_KEYS = 10_000


class Share(msgspec.Struct, frozen=True, eq=False):
    """Leave for a key or an llm to carry one request, paid with the attempts made since."""

    limiter: Limiter | None
    reservation: Reservation
    attempts: list[Attempt]
    first: int = 0
    llm_id: str | None = None
    priced: bool = False

    def settle(self) -> None:
        """Charge the tokens of the attempts since; nothing at all if there are none. Again: no effect."""
        if self.limiter is None or self.reservation.settled:
            return
        attempts = self.attempts[self.first :]
        if self.llm_id is not None:  # another llm may be asked at the same time
            attempts = [attempt for attempt in attempts if attempt.llm_id == self.llm_id]
        self.limiter.settle(self.reservation, spent(attempts, priced=self.priced))


UNLIMITED = Share(None, FREE, [])
"""The share of what nothing limits."""


class Quota:
    """Draws shares. Subjects are kept per key and per llm, as long as these are the same objects."""

    def __init__(self, limiter: Limiter, prices: Prices, clock: Clock) -> None:
        self._limiter = limiter
        self._prices = prices
        self._clock = clock
        self._keys: dict[str, tuple[Actor, Sequence[Subject]]] = {}
        self._llms: dict[str, tuple[Llm, Sequence[Subject]]] = {}
        self._pairs: dict[tuple[str, str], tuple[Actor, Llm, Sequence[Subject]]] = {}

    def of_key(self, actor: Actor) -> Sequence[Subject]:
        """What limits a key; empty where nothing does."""
        if actor.limits is NO_LIMITS:
            return ()
        known = self._keys.get(actor.key_id)
        if known is not None and known[0] is actor:
            return known[1]
        if len(self._keys) >= KNOWN_KEYS:
            self._keys.clear()
        subjects = limited([Subject(f"key:{actor.key_id}", "key", _allowance_of_key(actor.limits))])
        self._keys[actor.key_id] = actor, subjects
        return subjects

    def of_llm(self, llm: Llm) -> Sequence[Subject]:
        """What limits an llm; empty where nothing does."""
        if llm.requests_per_minute is None and llm.tokens_per_minute is None and llm.max_concurrent is None:
            return ()
        known = self._llms.get(llm.llm_id)
        if known is not None and known[0] is llm:
            return known[1]
        allowance = Allowance(llm.requests_per_minute, llm.tokens_per_minute, llm.max_concurrent)
        subjects = limited([Subject(f"llm:{llm.llm_id}", "llm", allowance)])
        self._llms[llm.llm_id] = llm, subjects
        return subjects

    def of_pair(self, actor: Actor, llm: Llm) -> Sequence[Subject]:
        """What limits an llm, and this key on it: drawn together, all or nothing."""
        if actor.llm_limits is None:
            return self.of_llm(llm)
        pair = actor.key_id, llm.llm_id
        known = self._pairs.get(pair)
        if known is not None and known[0] is actor and known[1] is llm:
            return known[2]
        if len(self._pairs) >= KNOWN_KEYS:
            self._pairs.clear()
        subjects = (*self.of_llm(llm), *limited([_subject_of_pair(actor, llm)]))
        self._pairs[pair] = actor, llm, subjects
        return subjects

    def forget(self) -> None:
        """The configuration was reloaded."""
        self._llms.clear()
        self._pairs.clear()

    async def affordable(self, route: Sequence[Llm], actor: Actor) -> Sequence[Llm]:
        """Of these the llms that a budget can count: those of a known price.

        All of them where the key has no budget, or allows others; and where none has a price: then
        `draw` refuses.
        """
        if not actor.limits.has_budget:
            return route
        await self._prices.learn_all(route)
        if actor.limits.allow_unpriced:
            return route
        return [llm for llm in route if self._prices.now(llm) is not None] or route

    async def draw(
        self,
        subjects: Sequence[Subject],
        call: Call,
        attempts: list[Attempt],
        deadline: float,
        route: Sequence[Llm] = (),
        *,
        llm_id: str | None = None,
    ) -> Share | Refusal:
        """Reserve one request on all of these; `deadline` is when, at the latest, it ends (monotonic).

        Under a budget it reserves what the dearest llm of the route would cost. `llm_id` is the llm whose
        attempts the share pays; None: all of the request's.

        Raises:
            Unavailable: the limits cannot be known.
        """
        priced = any_budget(subjects)
        need = self._need(subjects, call, route, priced=priced)
        drawn = await self._limiter.reserve(subjects, need, self._lease_s(deadline))
        if isinstance(drawn, Refusal):
            return drawn
        return Share(self._limiter, drawn, attempts, len(attempts), llm_id, priced)

    def draw_now(
        self,
        subjects: Sequence[Subject],
        call: Call,
        attempts: list[Attempt],
        deadline: float,
        route: Sequence[Llm] = (),
        *,
        llm_id: str | None = None,
    ) -> Share | Refusal | None:
        """`draw`, where no waiting is needed to know; None: ask `draw`."""
        priced = any_budget(subjects)
        need = self._need(subjects, call, route, priced=True) if priced else estimate(call, subjects)
        drawn = self._limiter.reserve_now(subjects, need, self._lease_s(deadline))
        if drawn is None or isinstance(drawn, Refusal):
            return drawn
        return Share(self._limiter, drawn, attempts, len(attempts), llm_id, priced)

    def _need(self, subjects: Sequence[Subject], call: Call, route: Sequence[Llm], *, priced: bool) -> Amount:
        need = estimate(call, subjects)
        if not priced:
            return need
        prices = [price for llm in route if (price := self._prices.now(llm)) is not None]
        return Amount(need.tokens, cost_microusd(call, prices))

    def _lease_s(self, deadline: float) -> float:
        left_s = deadline - self._clock.monotonic()
        return left_s + LEASE_MARGIN_S if left_s > 0 else LEASE_MARGIN_S


def refuse(exchange: Exchange, refused: Refusal) -> GatewayError:
    """Note in the exchange whose limit refused it; the error to raise."""
    budget = refused.limit in {"budget_day", "budget_month"}
    exchange.rejected_by, exchange.rejected_scope = "gateway", "budget" if budget else refused.subject.scope
    exchange.details = {"limit": refused.limit, **(exchange.details or {})}
    return limit_exceeded(refused, exchange.started_at)


def estimate(call: Call, subjects: Sequence[Subject]) -> Amount:
    """What to reserve: the prompt, and the answer at the length that the client allows.

    Where it allows any length the answer is a guess; no guess makes a request too large for a limit.
    """
    prompt = len(call.prompt) // BYTES_PER_TOKEN
    asked = call.output_limit
    if asked is not None:
        return Amount(min(prompt + asked, MOST))
    guess = prompt + OUTPUT_GUESS_TOKENS
    for subject in subjects:
        limit = subject.allowance.tokens_per_minute
        if limit is not None and limit < guess:
            guess = limit
    return Amount(max(prompt, guess))


def cost_microusd(call: Call, prices: Sequence[Price]) -> int | None:
    """What to reserve of a budget: the call at the dearest of these prices; None if there is none.

    The answer counts at the length that the client allows, else at the usual guess.
    """
    if not prices:
        return None
    prompt = -(-len(call.prompt) // BYTES_PER_TOKEN)
    asked = call.output_limit
    answer = OUTPUT_GUESS_TOKENS if asked is None else min(asked, MOST)
    dearest = max(price.cost_nanousd(prompt, answer) for price in prices)
    return min(_microusd(dearest), MOST_MICROUSD)


def spent(attempts: Sequence[Attempt], *, priced: bool = False) -> Amount:
    """What these attempts took; its cost only where it is asked for."""
    if not attempts:
        return NOT_MADE
    tokens = sum([attempt.tokens_input + attempt.tokens_output for attempt in attempts])
    if not priced:
        return Amount(tokens)
    return Amount(tokens, _microusd(sum(attempt.cost_nanousd for attempt in attempts)))


def _microusd(nanousd: int) -> int:
    return -(-nanousd // 1000)


def _allowance_of_key(limits: Limits) -> Allowance:
    return Allowance(
        requests_per_minute=_at_most(limits.requests_per_minute, MOST),
        tokens_per_minute=_at_most(limits.tokens_per_minute, MOST),
        max_concurrent=_at_most(limits.max_concurrent, MOST),
        budget_day_microusd=_at_most(limits.budget_day_microusd, MOST_MICROUSD),
        budget_month_microusd=_at_most(limits.budget_month_microusd, MOST_MICROUSD),
        allow_unpriced=limits.allow_unpriced,
    )


def _subject_of_pair(actor: Actor, llm: Llm) -> Subject | None:
    """The llm's own name wins over its provider's `provider/*`, whose llms count together."""
    limits = actor.llm_limits or {}
    for name in (llm.llm_id, llm.llm_id.partition("/")[0] + "/*"):
        if name in limits:
            return Subject(f"key:{actor.key_id}+llm:{name}", "key_llm", _allowance_of_key(limits[name]))
    return None


def _at_most(limit: int | None, most: int) -> int | None:
    return None if limit is None else min(limit, most)
