"""The faults that a request without a stream can meet, on `/v1/embeddings`.

Every test asserts the client's view, the upstream's own journal, the metrics and the audit
record. The lane's fallback serves another model: whatever happens, it must not be asked.
"""

from collections.abc import Iterator

import pytest
from tests.faults.verdicts import BUSY_S, assert_told
from tests.gateway.house import ATTEMPTS, TIMEOUT_S, House, Lane
from tests.gateway.view import EMBEDDINGS, PRESENT, View, look
from tests.upstream import (
    CloseBeforeHeaders,
    Embedded,
    Garbage,
    Hang,
    ResetBeforeHeaders,
    Status,
    Step,
    bad_key,
    content_filter,
    context_length_exceeded,
)


@pytest.fixture(autouse=True)
def surface() -> Iterator[None]:
    """What `look` asks on, here: never a surface of chats."""
    token = PRESENT.set(EMBEDDINGS)
    yield
    PRESENT.reset(token)


def _assert_embedded(view: View, lane: Lane) -> None:
    assert (view.status, view.error, view.llm, view.model) == (200, None, lane.llm, lane.model)
    assert view.vectors == [list(Embedded().vector)] * 2
    assert view.usage is not None
    assert view.usage["prompt_tokens"] == Embedded().tokens


@pytest.mark.parametrize(
    ("step", "told"),
    [
        pytest.param(Status(429), "rate_limited", id="429"),
        pytest.param(Status(500), "error", id="500"),
        pytest.param(Status(502), "error", id="502"),
        pytest.param(Status(503), "error", id="503"),
        pytest.param(Status(504), "error", id="504"),
        pytest.param(ResetBeforeHeaders(), "error", id="rst"),
        pytest.param(CloseBeforeHeaders(), "error", id="fin"),
        pytest.param(Garbage(), "error", id="no-http"),
    ],
)
def test_what_passes_is_retried(house: House, lane: Lane, step: Step, told: str) -> None:
    """The same llm after backoff; the client sees nothing of it and pays once."""
    lane.on(step, Embedded())
    view = look(house.gateway, lane.llm)

    _assert_embedded(view, lane)
    assert_told(house, lane, view, [told, "success"])
    details = house.gateway.record_of(view.trace_id).details
    assert (details["tokens_input"], details["tokens_output"]) == (Embedded().tokens, 0)


def test_429_with_retry_after_waits_as_told(house: House, lane: Lane) -> None:
    """Not before, and not much later."""
    lane.on(Status(429, retry_after="1"), Embedded())
    view = look(house.gateway, lane.llm)
    first, second = lane.calls()

    _assert_embedded(view, lane)
    assert 1.0 <= second.started_s - first.started_s < 1.0 + BUSY_S
    assert_told(house, lane, view, ["rate_limited", "success"])


@pytest.mark.parametrize(
    ("step", "status", "told", "attempts"),
    [
        pytest.param(Status(429), 429, "rate_limited", ATTEMPTS, id="429"),
        pytest.param(Status(500), 500, "error", ATTEMPTS, id="500"),
        pytest.param(Status(503), 503, "error", ATTEMPTS, id="503"),
        pytest.param(ResetBeforeHeaders(), 502, "error", ATTEMPTS, id="rst"),
        pytest.param(context_length_exceeded(), 400, "error", 1, id="too-long"),
        pytest.param(content_filter(), 400, "error", 1, id="content-filter"),
        pytest.param(Status(400), 400, "error", 1, id="400"),
        pytest.param(Status(422), 422, "error", 1, id="422"),
        pytest.param(bad_key(401), 502, "error", 1, id="401"),
        pytest.param(bad_key(403), 502, "error", 1, id="403"),
    ],
)
def test_what_lasts_is_told(
    house: House, lane: Lane, step: Step, status: int, *, told: str, attempts: int
) -> None:
    """The original status, the operator's key excepted; only what may pass is tried again."""
    lane.on(step)
    view = look(house.gateway, lane.llm)

    assert view.status == status
    assert view.error is not None
    assert b"canar" not in view.body
    assert lane.spare_calls() == []
    assert_told(house, lane, view, [told] * attempts)


def test_a_silent_upstream_costs_one_timeout(house: House, lane: Lane) -> None:
    """It is not tried again in the same request, and its call is cancelled."""
    lane.on(Hang())
    view = look(house.gateway, lane.llm)

    assert view.status == 504
    assert TIMEOUT_S <= view.seconds < TIMEOUT_S + BUSY_S
    assert lane.calls()[0].cancelled
    assert lane.spare_calls() == []
    assert_told(house, lane, view, ["timeout"])


def test_the_deadline_ends_everything(house: House, lane: Lane) -> None:
    """The client's own budget is shorter than the llm's timeout."""
    lane.on(Hang())
    view = look(house.gateway, lane.llm, headers={"x-request-timeout": "0.5"})

    assert view.status == 504
    assert 0.5 <= view.seconds < 0.5 + BUSY_S
    assert_told(house, lane, view, ["timeout"])
