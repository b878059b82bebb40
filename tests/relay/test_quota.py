"""What a request reserves: who limits it, how much it will take, and what it gives back."""

import json

import pytest

from tristar.auth.actor import ANONYMOUS, Actor, Limits
from tristar.clock import ManualClock
from tristar.exchange import Attempt
from tristar.limits.allowance import MOST, Allowance, Amount, Subject
from tristar.limits.limiter import NOT_MADE
from tristar.limits.local import LocalLimiter
from tristar.limits.usage import Refusal
from tristar.providers.openai.chat import ChatCall, parse_chat
from tristar.relay.quota import OUTPUT_GUESS_TOKENS, UNLIMITED, Quota, Share, cost_microusd, estimate, spent
from tristar.routing.catalog import Llm, Provider
from tristar.routing.price import price_of
from tristar.routing.prices import Prices

PROVIDER = Provider("p", "openai", "http://x")


def call(**fields: object) -> ChatCall:
    """A request of about a hundred tokens."""
    messages = [{"role": "user", "content": "x" * 370}]
    return parse_chat(json.dumps({"model": "fast", "messages": messages, **fields}).encode())


PROMPT = len(call().prompt) // 4
PROMPT_UP = -(-len(call().prompt) // 4)


def subject(**limits: int) -> Subject:
    """A limited key."""
    return Subject("key:a", "key", Allowance(**limits))  # type: ignore[arg-type]  # its limits by name


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 70, "max_tokens": 50}, 70),
        ({"max_completion_tokens": None, "max_tokens": 50}, 50),
        ({"max_tokens": -3}, 0),
        ({"max_tokens": "many"}, OUTPUT_GUESS_TOKENS),
        ({"max_tokens": True}, OUTPUT_GUESS_TOKENS),
        ({}, OUTPUT_GUESS_TOKENS),
    ],
)
def test_the_answer_is_reserved_as_long_as_it_may_be(fields: dict[str, object], answer: int) -> None:
    """What the client allows, else a guess; nonsense is the upstream's to refuse."""
    assert estimate(call(**fields), [subject(requests_per_minute=5)]) == Amount(PROMPT + answer)


def test_an_absurd_wish_is_cut_to_what_can_be_counted() -> None:
    """And is too large for any limit."""
    assert estimate(call(max_tokens=10**40), []).tokens == MOST


def test_a_guess_never_makes_a_request_too_large() -> None:
    """A small limit takes the guess down, but not below the prompt."""
    assert estimate(call(), [subject(tokens_per_minute=300)]) == Amount(300)
    assert estimate(call(), [subject(tokens_per_minute=10)]) == Amount(PROMPT)


def test_only_what_was_sent_is_charged() -> None:
    """No attempt, no charge; else the tokens of each."""
    attempts = [
        Attempt("a", "p", "m", 0.0),
        Attempt("a", "p", "m", 0.0, tokens_input=5, tokens_output=2),
        Attempt("b", "p", "m", 0.0, tokens_input=6, tokens_output=3),
    ]

    assert spent([]) == NOT_MADE
    assert spent(attempts) == Amount(16)


def test_subjects_are_made_once_for_a_key_and_an_llm() -> None:
    """And made anew when they are others; nothing limits most of them."""
    quota = Quota(LocalLimiter(ManualClock()), Prices(ManualClock()), ManualClock())
    key = Actor("key_1", "ci", frozenset(), limits=Limits(requests_per_minute=10**12, allow_unpriced=True))
    changed = Actor("key_1", "ci", frozenset(), limits=Limits(requests_per_minute=5))
    llm = Llm("fast", PROVIDER, "m", max_concurrent=3)

    assert quota.of_key(ANONYMOUS) == ()
    assert quota.of_key(Actor("key_2", "ci", frozenset(), limits=Limits(allow_unpriced=True))) == ()
    assert quota.of_key(key) is quota.of_key(key)
    assert quota.of_key(key)[0].allowance.requests_per_minute == MOST
    assert quota.of_key(changed)[0].allowance.requests_per_minute == 5
    assert quota.of_llm(Llm("slow", PROVIDER, "m")) == ()
    assert quota.of_llm(llm) is quota.of_llm(llm)
    assert quota.of_llm(llm)[0] == Subject("llm:fast", "llm", Allowance(max_concurrent=3))
    before = quota.of_llm(llm)
    quota.forget()
    assert quota.of_llm(llm) is not before


@pytest.mark.parametrize(
    ("fields", "microusd"),
    [({"max_tokens": 50}, 2 * PROMPT_UP + 500), ({}, 2 * PROMPT_UP + 10 * OUTPUT_GUESS_TOKENS)],
)
def test_the_dearest_of_the_route_is_reserved_of_a_budget(fields: dict[str, object], microusd: int) -> None:
    """A fallback may not spend what the first llm had no need of; nothing known is not nothing."""
    prices = [price_of(1, 1), price_of(2, 10)]

    assert cost_microusd(call(**fields), prices) == microusd
    assert cost_microusd(call(**fields), []) is None


def test_a_fraction_of_a_millionth_is_charged_as_a_whole_one() -> None:
    """So that no budget is passed by rounding; the sum is rounded, not each attempt."""
    attempts = [Attempt("a", "p", "m", 0.0, tokens_input=1, cost_nanousd=400) for _ in range(3)]

    assert spent(attempts, priced=True) == Amount(3, 2)
    assert spent(attempts) == Amount(3)


async def test_a_budget_takes_only_llms_of_a_known_price() -> None:
    """Unless the key allows others, or there is none: then the reservation is refused."""
    clock = ManualClock()
    quota = Quota(LocalLimiter(clock), Prices(clock), clock)
    private = Provider("p", "openai", "http://127.0.0.1:1/v1")
    priced, unpriced = Llm("a", private, "m", price=price_of(1, 1)), Llm("b", private, "m")
    strict, lenient = (
        Actor("key_1", "ci", frozenset(), limits=Limits(budget_day_microusd=5, allow_unpriced=allow))
        for allow in (False, True)
    )

    assert await quota.affordable([unpriced, priced], strict) == [priced]
    assert await quota.affordable([unpriced, priced], lenient) == [unpriced, priced]
    assert await quota.affordable([unpriced], strict) == [unpriced]
    assert await quota.affordable([unpriced], ANONYMOUS) == [unpriced]
    refused = await quota.draw(quota.of_key(strict), call(), [], clock.monotonic() + 10, [unpriced])
    assert isinstance(refused, Refusal)
    assert refused.limit == "unpriced"


async def test_a_share_pays_for_the_attempts_made_since() -> None:
    """Not for those of the llm before it; and once."""
    clock = ManualClock()
    quota = Quota(LocalLimiter(clock), Prices(clock), clock)
    subjects = [subject(tokens_per_minute=1000)]
    attempts = [Attempt("a", "p", "m", 0.0, tokens_input=900)]
    share = await quota.draw(subjects, call(max_tokens=0), attempts, clock.monotonic() + 10)
    assert isinstance(share, Share)
    attempts.append(Attempt("b", "p", "m", 0.0, tokens_input=300))
    share.settle()
    share.settle()
    later = await quota.draw(subjects, call(max_tokens=700 - PROMPT), attempts, clock.monotonic() + 10)

    assert isinstance(later, Share)
    assert later.reservation.standings.tokens is not None
    assert later.reservation.standings.tokens.remaining == 0
    UNLIMITED.settle()


async def test_a_share_of_a_request_that_was_never_sent_is_given_back() -> None:
    """So often as one likes."""
    clock = ManualClock()
    quota = Quota(LocalLimiter(clock), Prices(clock), clock)
    for _ in range(3):
        share = await quota.draw([subject(requests_per_minute=1)], call(), [], clock.monotonic() + 10)
        assert isinstance(share, Share)
        share.settle()
    held = await quota.draw([subject(requests_per_minute=1)], call(), [], clock.monotonic() + 10)
    beyond = await quota.draw([subject(requests_per_minute=1)], call(), [], clock.monotonic() + 10)

    assert isinstance(held, Share)
    assert isinstance(beyond, Refusal)


def test_a_key_and_an_llm_are_limited_together() -> None:
    """The llm's own limit and the key's on it are one draw; a provider's open models share theirs."""
    quota = Quota(LocalLimiter(ManualClock()), Prices(ManualClock()), ManualClock())
    limits = {"fast": Limits(requests_per_minute=5), "groq/*": Limits(max_concurrent=2)}
    key = Actor("key_1", "ci", frozenset(), llm_limits=limits)
    llm = Llm("fast", PROVIDER, "m", max_concurrent=3)
    of_groq = [quota.of_pair(key, Llm(name, PROVIDER, "m")) for name in ("groq/a", "groq/b")]

    assert [one.name for one in quota.of_pair(key, llm)] == ["llm:fast", "key:key_1+llm:fast"]
    assert quota.of_pair(key, llm) is quota.of_pair(key, llm)
    assert quota.of_pair(ANONYMOUS, llm) == quota.of_llm(llm)
    assert quota.of_pair(key, Llm("slow", PROVIDER, "m")) == ()
    assert [one.name for one in (*of_groq[0], *of_groq[1])] == ["key:key_1+llm:groq/*"] * 2
