"""`x-ratelimit-*` as OpenAI documents it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.clock import ManualClock
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.headers import duration, rate_limit_headers
from tristar.limits.limiter import Reservation, limit_exceeded
from tristar.limits.local import LocalLimiter
from tristar.limits.usage import Refusal, Standings

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.012, "12ms"),
        (0.0001, "1ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (3661.5, "1h1m1.5s"),
    ],
)
def test_a_reset_is_written_as_a_go_duration(seconds: float, text: str) -> None:
    """`1s` and `6m0s` are the documented samples."""
    assert duration(seconds) == text


@given(ms=st.integers(0, 10_000_000))
def test_a_duration_reads_back_as_what_it_says(ms: int) -> None:
    """As the clients that parse it do: numbers, each with its unit."""
    total, number, unit = 0.0, "", ""
    for character in duration(ms / 1000) + "0":
        if unit and not character.isalpha():
            total += float(number) * UNITS_S[unit]
            number = unit = ""
        if character.isalpha():
            unit += character
        else:
            number += character

    assert total == pytest.approx(ms / 1000)


def test_headers_tell_of_the_tightest_limit_of_each_kind() -> None:
    """The key's requests, the llm's tokens: whichever has least left; tokens in progress are taken."""
    limiter = LocalLimiter(ManualClock())
    mine = Subject("key:a", "key", Allowance(requests_per_minute=60))
    llm = Subject("llm:b", "llm", Allowance(requests_per_minute=600, tokens_per_minute=150_000))

    reservation = limiter.reserve_now((mine, llm), Amount(15_000), 600)

    assert isinstance(reservation, Reservation)
    assert rate_limit_headers(reservation.standings) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1s"),
        (b"x-ratelimit-limit-tokens", b"150000"),
        (b"x-ratelimit-remaining-tokens", b"135000"),
        (b"x-ratelimit-reset-tokens", b"6s"),
    ]


def test_a_refusal_carries_headers_too_and_an_error_that_says_what_to_do() -> None:
    """Scope, limit and wait in words, the wait as a number, and no key's name."""
    limiter = LocalLimiter(ManualClock())
    mine = Subject("key:secret-id", "key", Allowance(requests_per_minute=1))
    limiter.reserve_now((mine,), Amount(1), 600)

    verdict = limiter.reserve_now((mine,), Amount(1), 600)

    assert isinstance(verdict, Refusal)
    error = limit_exceeded(verdict)
    assert error.message == "This key has reached its limit of 1 requests per minute. Try again in 60 s."
    assert (error.status, error.retry_after_s) == (429, 60.0)
    assert (b"x-ratelimit-remaining-requests", b"0") in rate_limit_headers(verdict.standings)


@pytest.mark.parametrize(
    ("allowance", "told"),
    [
        (
            Allowance(tokens_per_minute=5),
            "limited to 5 tokens per minute, and this request alone exceeds that",
        ),
        (Allowance(max_concurrent=0), "limited to 0 requests at a time"),
        (Allowance(budget_day_microusd=1_500_000), "limited to 1.5 USD per day"),
        (Allowance(budget_month_microusd=2_000_000), "limited to 2 USD per month"),
    ],
)
def test_each_limit_is_told_in_its_own_words(allowance: Allowance, told: str) -> None:
    """With its number and unit, and without a wait where waiting does not help."""
    verdict = LocalLimiter(ManualClock()).reserve_now(
        (Subject("llm:b", "llm", allowance),), Amount(10, 9_000_000), 600
    )

    assert isinstance(verdict, Refusal)
    error = limit_exceeded(verdict)
    assert told in error.message
    assert error.retry_after_s is None


def test_an_unpriced_llm_is_told_how_to_go_on() -> None:
    """The model is at fault, not the pace."""
    mine = Subject("key:a", "key", Allowance(budget_day_microusd=1))
    verdict = LocalLimiter(ManualClock()).reserve_now((mine,), Amount(1), 600)

    assert isinstance(verdict, Refusal)
    error = limit_exceeded(verdict)
    assert "no known price" in error.message
    assert (error.status, error.param) == (403, "model")


def test_without_a_limit_there_is_no_header() -> None:
    """Nothing is said of what does not exist."""
    assert rate_limit_headers(Standings()) == []
