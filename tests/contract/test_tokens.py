"""Tokens: what the upstream says it used is what the metrics count and the log keeps, to the last one."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.contract.test_departures import cancelled, leave
from tests.gateway.house import House, Lane
from tests.gateway.records import Record
from tests.gateway.view import look
from tests.upstream import Answer, Cut, Stall, Status

KINDS = ("cache_read", "cache_write", "reasoning")
CACHED = {
    "prompt_tokens_details": {"cached_tokens": 700, "cache_creation_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 30},
}


@dataclass(frozen=True)
class Used:
    """Tokens of one model, by type, and the parts of them that have a name."""

    input: int = 0
    output: int = 0
    parts: tuple[int, ...] = (0, 0, 0)


@dataclass(frozen=True)
class Case:
    """One answer that reports its usage, and what it reports."""

    answer: Answer
    used: Used
    options: dict[str, Any] = field(default_factory=dict)


PLAIN = Answer(tokens=(1203, 77))
CASES = {
    "plain": Case(PLAIN, Used(1203, 77)),
    "cached": Case(Answer(tokens=(1203, 77), usage_parts=CACHED), Used(1203, 77, (700, 100, 30))),
    "asked-for": Case(PLAIN, Used(1203, 77), {"stream_options": {"include_usage": True}}),
    "nothing-cached": Case(
        Answer(tokens=(9, 1), usage_parts={"prompt_tokens_details": {"cached_tokens": 0}}), Used(9, 1)
    ),
}


def counted(house: House, model: str) -> Used:
    """As the metrics have it."""
    scrape = house.gateway.scrape()

    def value(metric: str, **labels: str) -> int:
        return int(scrape.value(metric, model=model, **labels))

    return Used(
        value("ailinux_llm_tokens_total", type="input"),
        value("ailinux_llm_tokens_total", type="output"),
        tuple(value("ailinux_llm_tokens_detail_total", kind=kind) for kind in KINDS),
    )


def recorded(records: list[Record], model: str) -> Used:
    """As the audit log has it: the sum over every attempt on this model."""
    sums: Counter[str] = Counter()
    for attempt in [attempt for record in records for attempt in record.attempts]:
        if attempt["model"] == model:
            sums.update({name: attempt.get(f"tokens_{name}", 0) for name in ("input", "output", *KINDS)})
    return Used(sums["input"], sums["output"], tuple(sums[kind] for kind in KINDS))


def of_lane(house: House, lane: Lane) -> list[Record]:
    """The terminal records of this lane's requests."""
    asked = {lane.llm, lane.alone}
    return [record for record in house.gateway.records() if record.details.get("model_asked") in asked]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_three_books_agree(house: House, lane: Lane, case: Case, *, stream: bool) -> None:
    """The upstream's usage, the metrics and the record: equal, and equal in their parts; nothing twice."""
    lane.on(case.answer)
    view = look(house.gateway, lane.alone, stream=stream, **(case.options if stream else {}))
    record = house.gateway.record_of(view.trace_id)

    assert counted(house, lane.model) == case.used
    assert recorded([record], lane.model) == case.used
    assert (record.details["tokens_input"], record.details["tokens_output"]) == (
        case.used.input,
        case.used.output,
    )
    assert record.details["tokens_source"] == "provider"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_after_a_retry_is_counted_once(house: House, lane: Lane, *, stream: bool) -> None:
    """A failed attempt without output used nothing."""
    lane.on(Status(500), PLAIN)
    view = look(house.gateway, lane.alone, stream=stream)

    assert len(lane.calls()) == 2
    assert counted(house, lane.model) == Used(1203, 77)
    assert recorded([house.gateway.record_of(view.trace_id)], lane.model) == Used(1203, 77)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_upstream_that_reports_nothing_is_estimated_and_says_so(
    house: House, lane: Lane, *, stream: bool
) -> None:
    """The same estimate in both books, never zero."""
    lane.on(Answer(words=("word " * 20,) * 10, report_usage=False))
    view = look(house.gateway, lane.alone, stream=stream)
    record = house.gateway.record_of(view.trace_id)
    estimate = counted(house, lane.model)

    assert record.details["tokens_source"] == "estimated"
    assert min(estimate.input, estimate.output) > 0
    assert recorded([record], lane.model) == estimate


def test_a_client_that_leaves_pays_the_same_in_both_books(house: House, lane: Lane) -> None:
    """What had been produced by then: an estimate, since the usage would have come last."""
    before = cancelled(house)
    lane.on(Answer(words=("word " * 20,) * 10, fault=Stall(after=6)))
    leave(house, lane, lambda: bool(lane.calls()) and lane.calls()[0].events_sent >= 6, stream=True)
    house.primary.journal.wait(lambda: cancelled(house) == before + 1)
    estimate = counted(house, lane.model)

    assert estimate.output > 50
    assert recorded(of_lane(house, lane), lane.model) == estimate


def test_a_stream_that_two_llms_wrote_counts_each_ones_part(house: House, lane: Lane) -> None:
    """Of the one that was cut an estimate, of the one that finished what it reports."""
    lane.on(Answer(fault=Cut(after=3)))
    lane.spare_on(PLAIN)
    view = look(house.gateway, lane.llm, stream=True)
    record = house.gateway.record_of(view.trace_id)
    first = counted(house, lane.model)

    assert first.output > 0
    assert recorded([record], lane.model) == first
    assert counted(house, lane.spare_model) == recorded([record], lane.spare_model)
