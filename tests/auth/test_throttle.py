"""Failed logins, by where they come from."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.auth.throttle import BUCKETS, EVERYBODY, Throttle
from tristar.clock import ManualClock
from tristar.errors import LoginsThrottled


def fails(throttle: Throttle, address: str | None) -> bool:
    """Let a login fail, if it is looked at; whether it was."""
    try:
        throttle.check(address)
    except LoginsThrottled:
        return False
    throttle.failed(address)
    return True


def test_so_many_a_minute_fail_and_the_next_waits() -> None:
    """A burst of N; then one each 60/N seconds, and `retry_after_s` says when."""
    clock = ManualClock()
    throttle = Throttle(clock, 6)
    burst = [fails(throttle, "192.0.2.1") for _ in range(8)]
    with pytest.raises(LoginsThrottled) as refused:
        throttle.check("192.0.2.1")
    assert refused.value.retry_after_s is not None
    clock.advance(refused.value.retry_after_s)

    assert burst == [True] * 6 + [False] * 2
    assert refused.value.retry_after_s == pytest.approx(10)
    assert [fails(throttle, "192.0.2.1") for _ in range(2)] == [True, False]


def test_one_address_does_not_answer_for_another() -> None:
    """But all that one IPv6 network can choose from is one."""
    throttle = Throttle(ManualClock(), 1)
    tried = [fails(throttle, each) for each in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", None)]

    assert tried == [True, True, True, False, True]


def test_everybody_together_is_bounded_too() -> None:
    """Whoever has very many addresses cannot fill the log with them."""
    throttle = Throttle(ManualClock(), 1)
    tried = [fails(throttle, f"2001:db8:{n:x}::") for n in range(2 * EVERYBODY)]

    assert tried.count(True) <= EVERYBODY
    assert tried[:10] == [True] * 10


def test_a_million_addresses_take_no_more_memory_than_one() -> None:
    """The table is as large as it is."""
    throttle = Throttle(ManualClock(), 60)
    throttle.failed("192.0.2.1")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(20_000):
        throttle.failed(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert after - before < 20_000
    assert len(throttle._full_at) == BUCKETS + 1


def test_it_can_be_off() -> None:
    """0 throttles nobody."""
    throttle = Throttle(ManualClock(), 0)

    assert all(fails(throttle, "192.0.2.1") for _ in range(10_000))


@given(
    steps=st.lists(st.one_of(st.just(0.0), st.floats(0, 120)), max_size=80),
    per_minute=st.sampled_from([0.5, 1, 3, 60]),
)
def test_no_minute_sees_more_than_a_burst_and_its_refill(steps: list[float], per_minute: float) -> None:
    """In any window of w seconds at most max(N, 1) + N * w / 60 are looked at."""
    clock = ManualClock()
    throttle = Throttle(clock, per_minute)
    looked: list[float] = []
    for step in steps:
        clock.advance(step)
        if fails(throttle, "a"):
            looked.append(clock.monotonic())

    for first, begin in enumerate(looked):
        for last, end in enumerate(looked[first:], first):
            assert last - first + 1 <= max(per_minute, 1) + per_minute * (end - begin) / 60 + 1e-6
