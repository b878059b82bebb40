"""An upstream that answers, but not with what was asked for: statuses and what follows each.

Every test asserts the client's view, the upstream's own journal, the metrics and the audit
record, streamed and not.
"""

from typing import Any

import pytest
from tests.faults.verdicts import (
    BOTH_WAYS,
    BUSY_S,
    assert_answered_by_primary,
    assert_answered_by_spare,
    assert_told,
)
from tests.gateway.house import ATTEMPTS, House, Lane
from tests.gateway.view import look
from tests.upstream import (
    Answer,
    Status,
    bad_key,
    content_filter,
    context_length_exceeded,
)


@BOTH_WAYS
def test_429_with_retry_after_waits_as_told(house: House, lane: Lane, *, stream: bool) -> None:
    """Not before, and not much later; the same llm answers."""
    lane.on(Status(429, retry_after="1"), Answer())
    view = look(house.gateway, lane.llm, stream=stream)
    first, second = lane.calls()

    assert_answered_by_primary(view, lane)
    assert 1.0 <= second.started_s - first.started_s < 1.0 + BUSY_S
    assert_told(house, lane, view, ["rate_limited", "success"])


@BOTH_WAYS
def test_429_with_a_retry_after_beyond_the_budget_falls_back(
    house: House, lane: Lane, *, stream: bool
) -> None:
    """At once: waiting would not help."""
    lane.on(Status(429, retry_after="120"))
    view = look(house.gateway, lane.llm, stream=stream, headers={"x-request-timeout": "5"})

    assert_answered_by_spare(view, lane)
    assert view.seconds < 5.0  # the client's whole patience: it was not spent on waiting
    assert_told(house, lane, view, ["rate_limited"])


@BOTH_WAYS
def test_429_for_ever_is_retried_with_backoff_and_then_left(
    house: House, lane: Lane, *, stream: bool
) -> None:
    """At most `retries` more on this llm, never hammered."""
    lane.on(Status(429))
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["rate_limited"] * ATTEMPTS)


@BOTH_WAYS
def test_429_with_nowhere_to_go_is_told_with_its_retry_after(
    house: House, lane: Lane, *, stream: bool
) -> None:
    """429, and how long to wait."""
    lane.on(Status(429, retry_after="120"))
    view = look(house.gateway, lane.alone, stream=stream, headers={"x-request-timeout": "5"})

    assert view.status == 429
    assert 1 <= float(view.headers["retry-after"]) <= 120
    assert_told(house, lane, view, ["rate_limited"])


@BOTH_WAYS
@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_a_5xx_once_is_retried(house: House, lane: Lane, code: int, *, stream: bool) -> None:
    """The same llm after backoff; the client sees nothing of it."""
    lane.on(Status(code), Answer())
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_primary(view, lane)
    assert view.headers["x-tristar-attempts"] == "2"
    assert_told(house, lane, view, ["error", "success"])


@BOTH_WAYS
def test_503_for_ever_falls_back(house: House, lane: Lane, *, stream: bool) -> None:
    """Within the retry budget."""
    lane.on(Status(503))
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["error"] * ATTEMPTS)


@BOTH_WAYS
@pytest.mark.parametrize("code", [500, 503])
def test_a_5xx_with_nowhere_to_go_is_told_as_it_was(
    house: House, lane: Lane, code: int, *, stream: bool
) -> None:
    """The original status and reason."""
    lane.on(Status(code))
    view = look(house.gateway, lane.alone, stream=stream)

    assert view.status == code
    assert view.error is not None
    assert view.error["message"] == f"upstream says {code}"
    assert_told(house, lane, view, ["error"] * ATTEMPTS)


@BOTH_WAYS
def test_a_prompt_too_long_goes_to_a_larger_llm(house: House, lane: Lane, *, stream: bool) -> None:
    """No retry on the same one; a fallback that does not say its size counts as larger."""
    lane.on(context_length_exceeded())
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["error"])


@BOTH_WAYS
def test_a_prompt_too_long_for_all_is_told(house: House, lane: Lane, *, stream: bool) -> None:
    """The provider's own error, after one attempt."""
    lane.on(context_length_exceeded())
    view = look(house.gateway, lane.alone, stream=stream)

    assert view.status == 400
    assert view.error is not None
    assert view.error["code"] == "context_length_exceeded"
    assert_told(house, lane, view, ["error"])


@BOTH_WAYS
@pytest.mark.parametrize("code", [400, 403])
def test_a_content_filter_is_final(house: House, lane: Lane, code: int, *, stream: bool) -> None:
    """No retry, no fallback; the provider's reason reaches the client."""
    lane.on(content_filter(code))
    view = look(house.gateway, lane.llm, stream=stream)

    assert view.status in {400, code}
    assert view.error is not None
    assert view.error["code"] == "content_filter"
    assert "content management policy" in view.error["message"]
    assert lane.spare_calls() == []
    assert_told(house, lane, view, ["error"])


@BOTH_WAYS
@pytest.mark.parametrize("code", [400, 404, 413, 422])
def test_any_other_4xx_is_the_clients_own(house: House, lane: Lane, code: int, *, stream: bool) -> None:
    """Handed on with status and reason; not retried, not held against the llm."""
    lane.on(Status(code))
    view = look(house.gateway, lane.llm, stream=stream)
    assert_told(house, lane, view, ["error"])
    for _ in range(5):
        view = look(house.gateway, lane.llm, stream=stream)

    assert len(lane.calls()) == 6
    assert view.status == code
    assert view.error is not None
    assert view.error["message"] == f"upstream says {code}"
    assert lane.spare_calls() == []
    assert house.gateway.scrape().value("ailinux_circuit_breaker_state", llm_id=lane.llm) == 0


@BOTH_WAYS
@pytest.mark.parametrize("code", [401, 403])
def test_a_bad_operators_key_falls_back_without_retry(
    house: House, lane: Lane, code: int, *, stream: bool
) -> None:
    """The next attempt would be refused too."""
    lane.on(bad_key(code))
    view = look(house.gateway, lane.llm, stream=stream)

    assert_answered_by_spare(view, lane)
    assert_told(house, lane, view, ["error"])


@BOTH_WAYS
@pytest.mark.parametrize("code", [401, 403])
def test_a_bad_operators_key_is_502_for_the_client(
    house: House, lane: Lane, code: int, *, stream: bool
) -> None:
    """Never 401: the client's own key is good. No part of the operator's key is shown."""
    lane.on(bad_key(code))
    view = look(house.gateway, lane.alone, stream=stream)

    assert view.status == 502
    assert b"canar" not in view.body
    assert_told(house, lane, view, ["error"])


@BOTH_WAYS
def test_a_fallback_is_billed_and_the_failure_is_not(house: House, lane: Lane, *, stream: bool) -> None:
    """`model` and `usage` are those of who answered; attempts without output cost nothing."""
    lane.on(Status(503))
    lane.spare_on(Answer(tokens=(70, 7)))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    view = look(house.gateway, lane.llm, stream=stream, **options)
    details = house.gateway.record_of(view.trace_id).details
    scrape = house.gateway.scrape()

    assert_told(house, lane, view, ["error"] * ATTEMPTS)
    assert view.model == lane.spare_model
    assert view.usage is not None
    assert (view.usage["prompt_tokens"], view.usage["completion_tokens"]) == (70, 7)
    assert (details["tokens_input"], details["tokens_output"]) == (70, 7)
    assert scrape.value("ailinux_llm_tokens_total", model=lane.model) == 0
    assert scrape.value("ailinux_llm_tokens_total", model=lane.spare_model) == 77


def test_redirects_are_not_followed(house: House, lane: Lane) -> None:
    """A key is not carried elsewhere, and nobody is asked the same again."""
    lane.on(Status(307, headers=(("location", f"{house.spare.base_url}/chat/completions"),)))
    view = look(house.gateway, lane.alone)

    assert view.status == 502
    assert lane.spare_calls() == []
    assert_told(house, lane, view, ["error"])
