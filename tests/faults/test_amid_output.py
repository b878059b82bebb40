"""Faults after output has begun: never a truncated answer that looks complete."""

from typing import Any, Literal

import pytest
from tests.faults.verdicts import BUSY_S
from tests.gateway import Scrape
from tests.gateway.house import ATTEMPTS, IDLE_TIMEOUT_S, House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Cut, Malformed, Stall

How = Literal["fin", "rst"]
HOWS = pytest.mark.parametrize("how", ["fin", "rst"])


@HOWS
def test_a_cut_stream_with_nowhere_to_go_ends_in_an_error_event(house: House, lane: Lane, how: How) -> None:
    """What was sent stays, then an error, and no `[DONE]`; counted as 502."""
    lane.on(Answer(fault=Cut(after=4, how=how)))
    before = house.gateway.scrape()
    view = look(house.gateway, lane.alone, stream=True)
    record = house.gateway.record_of(view.trace_id)
    after = house.gateway.scrape()

    assert Answer().text.startswith(view.text)
    assert view.text
    assert view.error is not None
    assert not view.done
    assert not view.cut, "the connection ends in order"
    assert (record["outcome"], record["status"], record.statuses) == ("error", 502, ["error"])
    assert after.value("ailinux_llm_calls_total", model=lane.model, status="error") == 1
    assert _count(after, "502") == _count(before, "502") + 1
    assert _count(after, "200") == _count(before, "200")


@HOWS
def test_the_tokens_of_a_cut_stream_are_estimated(house: House, lane: Lane, how: How) -> None:
    """What was read was paid for."""
    lane.on(Answer(words=("word " * 20,) * 10, fault=Cut(after=6, how=how)))
    view = look(house.gateway, lane.alone, stream=True)
    details = house.gateway.record_of(view.trace_id).details

    assert details["tokens_source"] == "estimated"
    assert details["tokens_output"] > 50


@HOWS
def test_a_cut_body_is_retried(house: House, lane: Lane, how: How) -> None:
    """Nothing of it had reached the client."""
    lane.on(Answer(fault=Cut(how=how)), Answer())
    view = look(house.gateway, lane.llm)
    record = house.gateway.record_of(view.trace_id)

    assert view.complete
    assert view.llm == lane.llm
    assert record.statuses == ["error", "success"]


@HOWS
def test_cut_bodies_for_ever_are_502(house: House, lane: Lane, how: How) -> None:
    """Never half a body with 200."""
    lane.on(Answer(fault=Cut(how=how)))
    view = look(house.gateway, lane.alone)

    assert view.status == 502
    assert house.gateway.record_of(view.trace_id).statuses == ["error"] * ATTEMPTS


@HOWS
def test_a_stream_cut_before_its_first_token_is_retried(house: House, lane: Lane, how: How) -> None:
    """The role alone is no output."""
    lane.on(Answer(fault=Cut(after=1, how=how)), Answer())
    view = look(house.gateway, lane.llm, stream=True)

    assert view.complete
    assert view.text == Answer().text
    assert house.gateway.record_of(view.trace_id).statuses == ["error", "success"]


def test_a_stream_that_stalls_ends_in_an_error_event(house: House, lane: Lane) -> None:
    """After `idle_timeout_s`, as a cut; counted as 504, the attempt as a timeout."""
    lane.on(Answer(fault=Stall(after=4)))
    view = look(house.gateway, lane.alone, stream=True)
    record = house.gateway.record_of(view.trace_id)

    assert view.text
    assert view.error is not None
    assert not view.done
    assert IDLE_TIMEOUT_S <= view.seconds < IDLE_TIMEOUT_S + BUSY_S
    assert lane.calls()[0].cancelled
    assert (record["outcome"], record["status"], record.statuses) == ("error", 504, ["timeout"])


def test_a_body_that_stalls_times_out_and_falls_back(house: House, lane: Lane) -> None:
    """One timeout; nothing of it had reached the client."""
    lane.on(Answer(fault=Stall()))
    view = look(house.gateway, lane.llm)

    assert view.complete
    assert view.llm == lane.spare_llm
    assert house.gateway.record_of(view.trace_id).statuses == ["timeout", "success"]


def test_a_slow_stream_is_not_a_stalled_one(house: House, lane: Lane) -> None:
    """Silence is measured between chunks, not over all of them."""
    lane.on(Answer(gap_s=0.2))
    view = look(house.gateway, lane.alone, stream=True)

    assert view.complete
    assert view.seconds > IDLE_TIMEOUT_S


def test_a_stream_longer_than_its_total_time_ends_in_an_error_event(house: House, lane: Lane) -> None:
    """`timeout_s` is one attempt, from connect to the last byte."""
    lane.on(Answer(words=("w",) * 40, gap_s=0.2))
    view = look(house.gateway, lane.alone, stream=True)

    assert view.error is not None
    assert not view.done
    assert house.gateway.record_of(view.trace_id)["status"] == 504


@pytest.mark.parametrize("at", [0, 1, 3, 6])
def test_a_malformed_event_is_dropped_and_the_stream_goes_on(house: House, lane: Lane, at: int) -> None:
    """Counted and marked in the record; nothing malformed reaches the client."""
    fault = Malformed(at=at)
    lane.on(Answer(fault=fault))
    view = look(house.gateway, lane.llm, stream=True)
    record = house.gateway.record_of(view.trace_id)
    lost = {0: "", 1: "Three", 3: " guide", 6: "."}[at]

    assert view.complete
    assert view.done
    assert view.text == Answer().text.replace(lost, "", 1)
    assert fault.data not in view.body
    assert record.attempts[0]["malformed_chunks"] == 1
    assert record["outcome"] == "success"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        b"[" * 5_000,
        b'{"choices":',
        b"data: data:",
        b'{"choices":[{"index":0,"delta":{"content":"\xed\xa0\x80"}}]}',
    ],
    ids=["bytes", "deep", "half", "twice", "surrogate"],
)
def test_whatever_is_malformed_is_dropped(house: House, lane: Lane, data: bytes) -> None:
    """Not UTF-8, not JSON, too deep."""
    lane.on(Answer(fault=Malformed(at=3, data=data)))
    view = look(house.gateway, lane.llm, stream=True)

    assert view.complete
    assert data not in view.body
    assert house.gateway.record_of(view.trace_id).attempts[0]["malformed_chunks"] == 1


def test_a_malformed_body_is_retried_and_then_502(house: House, lane: Lane) -> None:
    """It never reaches the client."""
    lane.on(Answer(fault=Malformed()))
    view = look(house.gateway, lane.alone)

    assert view.status == 502
    assert Malformed().data not in view.body
    assert house.gateway.record_of(view.trace_id).statuses == ["error"] * ATTEMPTS


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_without_done_is_finished_properly(house: House, lane: Lane, *, usage: bool) -> None:
    """`[DONE]` is supplied, usage counted."""
    lane.on(Answer(done=False))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    view = look(house.gateway, lane.llm, stream=True, **options)
    record = house.gateway.record_of(view.trace_id)

    assert view.complete
    assert view.done
    assert view.body.endswith(b"data: [DONE]\n\n")
    assert (record.details["tokens_output"], record.statuses) == (6, ["success"])


def test_a_stream_that_is_complete_and_stays_open_is_finished_at_once(house: House, lane: Lane) -> None:
    """All events, no `[DONE]`, connection open: not a stall."""
    events = len(Answer().words) + 3  # role, finish and usage
    lane.on(Answer(fault=Stall(after=events)))
    view = look(house.gateway, lane.llm, stream=True)

    assert view.complete
    assert view.done
    assert view.seconds < IDLE_TIMEOUT_S + BUSY_S
    assert house.gateway.record_of(view.trace_id).statuses == ["success"]


def test_an_error_event_inside_a_stream_is_an_error(house: House, lane: Lane) -> None:
    """Some providers fail after 200: before the first token another attempt takes over."""
    error = b'{"error":{"message":"overloaded","type":"server_error","code":null}}'
    lane.on(Answer(fault=Malformed(at=1, data=error)), Answer())
    view = look(house.gateway, lane.llm, stream=True)

    assert view.complete
    assert view.text == Answer().text
    assert house.gateway.record_of(view.trace_id).statuses[-1] == "success"


def test_an_error_event_amid_a_stream_ends_it(house: House, lane: Lane) -> None:
    """With the provider's reason, and no `[DONE]`."""
    error = b'{"error":{"message":"overloaded amid it","type":"server_error","code":null}}'
    lane.on(Answer(fault=Malformed(at=4, data=error), gap_s=0.05))
    view = look(house.gateway, lane.alone, stream=True)

    assert view.error is not None
    assert view.error["message"] == "overloaded amid it"
    assert not view.done
    assert house.gateway.record_of(view.trace_id).statuses == ["error"]


def _count(scrape: Scrape, status: str) -> float:
    return scrape.value("ailinux_request_count", status=status, endpoint="/v1/chat/completions")
