"""What the tests of faults before output agree on: who answered, and what was written down."""

import pytest
from tests.gateway.house import House, Lane
from tests.gateway.view import View
from tests.upstream import Answer

BUSY_S = 15.0
"""What a busy machine may add to a time that the gateway keeps; far less than to wait for ever."""

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def assert_answered_by_primary(view: View, lane: Lane) -> None:
    """A whole answer from the llm that was asked."""
    assert view.complete
    assert (view.text, view.llm, view.model) == (Answer().text, lane.llm, lane.model)
    assert lane.spare_calls() == []


def assert_answered_by_spare(view: View, lane: Lane) -> None:
    """A whole answer from the fallback, and it says so."""
    assert view.complete
    assert (view.text, view.llm, view.model) == (Answer().text, lane.spare_llm, lane.spare_model)
    assert len(lane.spare_calls()) == 1


def assert_told(house: House, lane: Lane, view: View, statuses: list[str]) -> None:
    """Record, metrics and the upstream's journal hold exactly these attempts of the primary.

    An attempt over a pooled connection that turned out to be closed is made again at once;
    it is written down like any other and may come on top of the retries.
    """
    record = house.gateway.record_of(view.trace_id)
    attempts = [attempt for attempt in record.attempts if attempt["model"] == lane.model]
    every = [attempt["status"] for attempt in attempts]
    lasting = [attempt["status"] for attempt in attempts if attempt.get("error_type") != "stale_connection"]
    counted = house.gateway.scrape().by("ailinux_llm_calls_total", "model", "status")

    assert statuses in (every, lasting)
    assert len(lane.calls()) == len(attempts)
    assert record["status"] == view.status
    for status in statuses:
        assert counted[(lane.model, status)] == sum(attempt["status"] == status for attempt in attempts)
