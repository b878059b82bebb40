"""Connections that break, and upstreams that stay silent, before the first byte of output.

Every test asserts the client's view, the upstream's own journal, the metrics and the audit
record, streamed and not.
"""

import pytest
from tests.faults.verdicts import (
    BOTH_WAYS,
    BUSY_S,
    assert_answered_by_primary,
    assert_answered_by_spare,
    assert_told,
)
from tests.gateway.house import ATTEMPTS, FIRST_TOKEN_TIMEOUT_S, TIMEOUT_S, House, Lane
from tests.gateway.view import look
from tests.upstream import (
    Answer,
    CloseBeforeHeaders,
    Garbage,
    Hang,
    ResetBeforeHeaders,
    Stall,
    Step,
)


@BOTH_WAYS
@pytest.mark.parametrize(
    "step", [ResetBeforeHeaders(), CloseBeforeHeaders(), Garbage()], ids=["rst", "fin", "no-http"]
)
def test_a_broken_connection_once_is_retried(house: House, lane: Lane, step: Step, *, stream: bool) -> None:
    """Reset, closed or talking nonsense before any header."""
    lane.on(step, Answer())
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_primary(view, lane)
    assert_told(house, lane, view, ["error", "success"])


@BOTH_WAYS
@pytest.mark.parametrize(
    "step", [ResetBeforeHeaders(), CloseBeforeHeaders(), Garbage()], ids=["rst", "fin", "no-http"]
)
def test_broken_connections_for_ever_fall_back(house: House, lane: Lane, step: Step, *, stream: bool) -> None:
    """After the retries."""
    lane.on(step)
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["error"] * ATTEMPTS)


@BOTH_WAYS
def test_broken_connections_with_nowhere_to_go_are_502(house: House, lane: Lane, *, stream: bool) -> None:
    """In the envelope."""
    lane.on(ResetBeforeHeaders())
    view = look(house.gateway, lane.alone, stream=stream)

    assert view.status == 502
    assert view.error is not None
    assert_told(house, lane, view, ["error"] * ATTEMPTS)


@BOTH_WAYS
def test_a_silent_upstream_costs_one_timeout_and_falls_back(
    house: House, lane: Lane, *, stream: bool
) -> None:
    """It is not tried again in the same request."""
    lane.on(Hang())
    view = look(house.gateway, lane.llm, stream=stream)
    limit_s = FIRST_TOKEN_TIMEOUT_S if stream else TIMEOUT_S

    assert_answered_by_spare(view, lane)
    assert limit_s <= view.seconds < limit_s + BUSY_S
    assert lane.calls()[0].cancelled
    assert_told(house, lane, view, ["timeout"])


@BOTH_WAYS
def test_a_silent_upstream_with_nowhere_to_go_is_504(house: House, lane: Lane, *, stream: bool) -> None:
    """After one timeout."""
    lane.on(Hang())
    view = look(house.gateway, lane.alone, stream=stream)

    assert view.status == 504
    assert_told(house, lane, view, ["timeout"])
    assert house.gateway.scrape().value("ailinux_llm_latency_seconds_count", model=lane.model) == 1


@BOTH_WAYS
def test_headers_without_a_token_time_out_and_fall_back(house: House, lane: Lane, *, stream: bool) -> None:
    """`first_token_timeout_s` for streams, `timeout_s` for the rest."""
    lane.on(Answer(fault=Stall(after=0)))
    view = look(house.gateway, lane.llm, stream=stream)
    limit_s = FIRST_TOKEN_TIMEOUT_S if stream else TIMEOUT_S

    assert_answered_by_spare(view, lane)
    assert limit_s <= view.seconds < limit_s + BUSY_S
    assert_told(house, lane, view, ["timeout"])


def test_a_role_alone_is_no_token(house: House, lane: Lane) -> None:
    """The first chunk of a stream says only who speaks: the fallback can still take over."""
    lane.on(Answer(fault=Stall(after=1)))
    view = look(house.gateway, lane.llm, stream=True)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["timeout"])


@BOTH_WAYS
def test_the_deadline_ends_everything(house: House, lane: Lane, *, stream: bool) -> None:
    """One budget for attempts, waits and retries, set by the client."""
    lane.on(Hang())
    lane.spare_on(Hang())
    view = look(house.gateway, lane.llm, stream=stream, headers={"x-request-timeout": "0.5"})

    assert view.status == 504
    assert 0.5 <= view.seconds < 0.5 + BUSY_S
    assert lane.spare_calls() == []
    assert_told(house, lane, view, ["timeout"])
