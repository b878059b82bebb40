"""What a process knows of its llms: how busy, how fast, and for how long that is worth anything."""

import pytest

from tristar.clock import ManualClock
from tristar.routing.load import ENOUGH, FAILED_S, FORGET_S, KEPT, Loads


@pytest.fixture
def clock() -> ManualClock:
    """Time as the test tells it."""
    return ManualClock()


@pytest.fixture
def loads(clock: ManualClock) -> Loads:
    """Nothing known yet."""
    return Loads(clock)


def test_attempts_in_progress_are_counted_until_they_end(loads: Loads) -> None:
    """And an llm that is idle takes no memory."""
    loads.began("a")
    loads.began("a")
    loads.ended("a")

    assert (loads.in_flight("a"), loads.in_flight("b")) == (1, 0)
    loads.ended("a")
    assert loads.in_flight("a") == 0


def test_an_llm_that_nobody_knows_is_tried_by_one_request_at_a_time(loads: Loads) -> None:
    """While one finds out how fast it is, the others go elsewhere."""
    assert loads.latency_s("a", streamed=False) == 0.0
    loads.began("a")
    assert loads.latency_s("a", streamed=False) == FAILED_S


def test_the_average_follows_what_is_measured(loads: Loads) -> None:
    """Streams and whole answers apart."""
    for _ in range(20):
        loads.answered("a", 2.0, streamed=False)
    loads.answered("a", 1.0, streamed=False)

    assert 1.0 < loads.latency_s("a", streamed=False) < 2.0
    assert loads.latency_s("a", streamed=True) == 0.0


def test_what_was_measured_long_ago_is_forgotten(loads: Loads, clock: ManualClock) -> None:
    """A slow llm that has recovered is found out; one that failed as well."""
    loads.answered("a", 9.0, streamed=False)
    loads.failed("b", streamed=False)
    known = [loads.latency_s(name, streamed=False) for name in "ab"]
    clock.advance(FORGET_S + 1)
    forgotten = [loads.latency_s(name, streamed=False) for name in "ab"]
    loads.answered("b", 0.5, streamed=False)

    assert known == [9.0, FAILED_S]
    assert forgotten == [0.0, 0.0]
    assert loads.latency_s("b", streamed=False) == 0.5


def test_one_answer_after_a_failure_clears_it(loads: Loads) -> None:
    """A failure is no latency: it does not weigh in the average."""
    loads.failed("a", streamed=True)
    loads.answered("a", 0.5, streamed=True)

    assert loads.latency_s("a", streamed=True) == 0.5


def test_a_percentile_takes_enough_answers_and_only_the_latest(loads: Loads) -> None:
    """Before there are enough nobody guesses."""
    for number in range(1, ENOUGH):
        loads.answered("a", number, streamed=False)
    too_few = loads.percentile_s("a", 95, streamed=False)
    for number in range(1, KEPT + 1):
        loads.answered("a", number, streamed=False)

    assert too_few is None
    assert loads.percentile_s("a", 95, streamed=False) == KEPT * 0.95
    assert loads.percentile_s("a", 100, streamed=False) == KEPT
    assert loads.percentile_s("b", 95, streamed=False) is None
