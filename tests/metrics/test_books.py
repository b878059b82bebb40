"""Every closed exchange is entered once, and every part of it lands in its series."""

import threading
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.stories import (
    ANCHOR,
    GPT,
    SINK,
    account,
    attempt,
    new_books,
    parse,
    samples,
    series,
    total,
    value,
)

from tristar.auth.gate import Reason
from tristar.clock import ManualClock
from tristar.errors import UpstreamFailed
from tristar.exchange import Attempt
from tristar.metrics.audits import AuditReadings
from tristar.metrics.memories import EMBEDDINGS
from tristar.relay.failure import ERROR_TYPES

BY_LLM = {"model": GPT[0], "provider": GPT[1]}
CHAT = {"endpoint": "/v1/chat/completions", "method": "POST"}


def test_a_call_moves_every_metric_that_it_tells_of() -> None:
    """One exchange with one attempt: one request, one call, its tokens and times."""
    books = new_books()
    books.count(account([attempt(duration_s=1.2)], duration_s=1.25))

    assert value(books, "ailinux_request_count", {**CHAT, "status": "200"}) == 1
    endpoint = {"endpoint": CHAT["endpoint"]}
    assert value(books, "ailinux_request_latency_seconds_sum", endpoint) == 1.25
    assert value(books, "ailinux_gateway_overhead_seconds_sum", endpoint) == pytest.approx(0.05)
    assert value(books, "ailinux_llm_calls_total", {**BY_LLM, "status": "success"}) == 1
    assert value(books, "ailinux_llm_latency_seconds_sum", BY_LLM) == 1.2
    assert value(books, "ailinux_llm_tokens_total", {**BY_LLM, "type": "input"}) == 100
    assert value(books, "ailinux_llm_tokens_total", {**BY_LLM, "type": "output"}) == 60
    assert value(books, "ailinux_llm_request_tokens_sum", {"model": GPT[0], "type": "output"}) == 60
    assert value(books, "ailinux_llm_output_tokens_per_second_sum", BY_LLM) == pytest.approx(50)


def test_the_usual_series_are_there_before_the_first_call() -> None:
    """A 5xx that is born above zero would be no rise at all to `rate`."""
    books = new_books()

    assert value(books, "ailinux_request_count", {**CHAT, "status": "503"}) == 0
    assert value(books, "ailinux_llm_calls_total", {**BY_LLM, "status": "rate_limited"}) == 0
    assert value(books, "ailinux_llm_tokens_total", {**BY_LLM, "type": "output"}) == 0
    assert value(books, "ailinux_llm_errors_total", {**BY_LLM, "error_type": "connect"}) == 0
    assert value(books, "ailinux_auth_failures_total", {"reason": "revoked"}) == 0
    assert value(books, "ailinux_audit_lost_total") == 0


@pytest.mark.parametrize("status", ["success", "error", "timeout", "rate_limited", "cancelled"])
def test_latency_sees_successes_and_timeouts_only(status: str) -> None:
    """A provider that fails at once must not look fast."""
    books = new_books()
    books.count(account([attempt(status=status)]))
    seen = value(books, "ailinux_llm_latency_seconds_count", BY_LLM)

    assert total(books, "ailinux_llm_calls_total", status=status) == 1
    assert seen == (1 if status in {"success", "timeout"} else None)


def test_tokens_of_a_cut_stream_are_counted() -> None:
    """They were produced and will be billed, whatever became of the attempt."""
    books = new_books()
    books.count(account([attempt(status="cancelled", tokens_source="estimated", tokens_output=7)]))

    assert value(books, "ailinux_llm_tokens_total", {**BY_LLM, "type": "output"}) == 7


def test_parts_of_the_tokens_are_counted_apart() -> None:
    """Cached and reasoning tokens are within the totals and must not be added to them."""
    books = new_books()
    books.count(account([attempt(tokens_cache_read=40, tokens_cache_write=5, tokens_reasoning=30)]))
    kinds = ("cache_read", "cache_write", "reasoning")
    parts = [value(books, "ailinux_llm_tokens_detail_total", {**BY_LLM, "kind": kind}) for kind in kinds]

    assert parts == [40, 5, 30]
    assert total(books, "ailinux_llm_tokens_total") == 160


def test_a_provider_that_reports_negative_tokens_takes_nothing_back() -> None:
    """A counter never falls, whatever an upstream says."""
    books = new_books()
    books.count(account([attempt(tokens_input=-5, tokens_output=-1, tokens_cache_read=-3)]))

    assert total(books, "ailinux_llm_tokens_total") == 0
    assert total(books, "ailinux_llm_tokens_detail_total") == 0


def test_a_stream_tells_its_first_token_and_its_pace() -> None:
    """The gap is the mean over one stream: from the first token on, over all chunks after it."""
    books = new_books()
    books.count(account([attempt(duration_s=2.2, first_token_s=0.2, chunks=21)], streamed=True))

    assert value(books, "ailinux_llm_time_to_first_token_seconds_sum", BY_LLM) == 0.2
    assert value(books, "ailinux_llm_inter_token_seconds_sum", BY_LLM) == pytest.approx(0.1)


def test_an_answer_in_one_piece_has_no_first_token() -> None:
    """Its first byte is its last; it would make streams look slow."""
    books = new_books()
    books.count(account([attempt(first_token_s=1.1, chunks=1)], streamed=False))

    assert not series(books, "ailinux_llm_time_to_first_token_seconds_count")
    assert not series(books, "ailinux_llm_inter_token_seconds_count")


def test_a_cut_stream_tells_its_first_token_but_no_pace() -> None:
    """Its length holds a stall or a timeout, which is no gap between chunks."""
    books = new_books()
    cut = attempt(status="timeout", error_type="timeout", first_token_s=0.2, chunks=3)
    books.count(account([cut], streamed=True))

    assert value(books, "ailinux_llm_time_to_first_token_seconds_count", BY_LLM) == 1
    assert not series(books, "ailinux_llm_inter_token_seconds_count")


def test_a_retry_and_a_fallback_are_told_apart() -> None:
    """The same llm again is a retry, another one a fallback; each knows what it follows."""
    books = new_books(models=[GPT, ("claude", "anthropic")], llm_ids=["fast", "claude"])
    failed = attempt(status="error", error_type="connect", tokens_source="none")
    again = attempt(status="timeout", error_type="timeout", reason="connect", tokens_source="none")
    other = attempt(llm_id="claude", model="claude", provider="anthropic", reason="timeout")
    books.count(account([failed, again, other]))
    retry = {"from": "fast", "to": "fast", "reason": "connect"}
    fallback = {"from": "fast", "to": "claude", "reason": "timeout"}

    assert value(books, "ailinux_llm_retries_total", retry) == 1
    assert value(books, "ailinux_llm_fallbacks_total", fallback) == 1
    assert total(books, "ailinux_llm_retries_total") + total(books, "ailinux_llm_fallbacks_total") == 2
    assert value(books, "ailinux_llm_errors_total", {**BY_LLM, "error_type": "connect"}) == 1


def test_overhead_is_what_no_attempt_accounts_for() -> None:
    """Two attempts of 1 s and 2 s in a request of 3.5 s leave half a second to the gateway."""
    books = new_books()
    attempts = [attempt(started_s=0.0, duration_s=1.0), attempt(started_s=1.0, duration_s=2.0)]
    books.count(account(attempts, duration_s=3.5))
    endpoint = {"endpoint": CHAT["endpoint"]}

    assert value(books, "ailinux_gateway_overhead_seconds_sum", endpoint) == pytest.approx(0.5)


def test_time_in_two_upstreams_at_once_counts_once() -> None:
    """A hedged request: 3 s, from its second second on at another llm too, leave half a second of 3.5."""
    books = new_books()
    books.count(
        account(
            [attempt(started_s=0.0, duration_s=3.0), attempt(started_s=1.0, duration_s=1.0)], duration_s=3.5
        )
    )
    endpoint = {"endpoint": CHAT["endpoint"]}

    assert value(books, "ailinux_gateway_overhead_seconds_sum", endpoint) == pytest.approx(0.5)


def test_a_request_without_an_attempt_has_no_overhead() -> None:
    """All of it was the gateway's own, and its latency says so already."""
    books = new_books()
    books.count(account(endpoint="/v1/models", method="GET"))

    assert value(books, "ailinux_request_count", {"endpoint": "/v1/models", "method": "GET", "status": "200"})
    assert not series(books, "ailinux_gateway_overhead_seconds_count")


def test_a_rejection_names_whose_limit_it_was() -> None:
    """Our own 429 must not look like the provider's."""
    books = new_books()
    books.count(account(status=429, rejected_by="key", rejected_scope="requests_per_minute"))
    labels = {"scope": "requests_per_minute", "rejected_by": "key"}

    assert value(books, "ailinux_rate_limit_rejections_total", labels) == 1


def test_a_refused_key_is_counted_by_its_reason() -> None:
    """From an account, or from a part that has none."""
    books = new_books()
    books.count(account(status=401, auth_failure="expired"))
    books.auth_failure("expired")

    assert value(books, "ailinux_auth_failures_total", {"reason": "expired"}) == 2


def test_every_cause_that_the_relay_can_give_has_its_label() -> None:
    """A new kind of failure is not lost in `_other`, and is there at 0 before it happens."""
    books = new_books()
    kinds: list[type[UpstreamFailed]] = [UpstreamFailed, *UpstreamFailed.__subclasses__()]
    laid_out = {has["error_type"] for has in series(books, "ailinux_llm_errors_total")}

    assert laid_out == {*ERROR_TYPES, *(kind.error_type for kind in kinds)}


def test_every_reason_to_refuse_a_key_is_there_at_zero() -> None:
    """The first guessed key is a rise."""
    laid_out = {has["reason"] for has in series(new_books(), "ailinux_auth_failures_total")}

    assert laid_out == {*get_args(Reason), "throttled"}


def test_breakers_are_read_when_they_are_scraped() -> None:
    """The gauge says what is, not what was when something last changed."""
    states = {"fast": 0}
    books = new_books()
    books.watch(breaker_states=lambda: dict(states))
    before = value(books, "ailinux_circuit_breaker_state", {"llm_id": "fast"})
    states["fast"] = 1

    assert before == 0
    assert value(books, "ailinux_circuit_breaker_state", {"llm_id": "fast"}) == 1


def test_changes_of_a_breaker_start_at_zero() -> None:
    """The first opening is then a rise, and flapping is seen from the first time on."""
    books = new_books()
    books.watch(breaker_states=lambda: {"fast": 0})
    labels = {"llm_id": "fast", "to": "open"}
    before = value(books, "ailinux_circuit_breaker_transitions_total", labels)
    books.breaker_transition("fast", "open")

    assert before == 0
    assert value(books, "ailinux_circuit_breaker_transitions_total", labels) == 1


def test_attempts_in_progress_return_to_zero() -> None:
    """A configured llm without any shows 0 and not a gap."""
    running = {GPT: 2}
    books = new_books()
    books.watch(llm_in_flight=lambda: dict(running))
    before = value(books, "ailinux_llm_in_flight", BY_LLM)
    running.clear()

    assert before == 2
    assert value(books, "ailinux_llm_in_flight", BY_LLM) == 0


def test_the_audit_log_is_read_and_told() -> None:
    """Queue, lag and verification are read; commits and losses are told."""
    books = new_books()
    books.watch(audit=lambda: AuditReadings(17, {"syslog": SINK}, {"tsa": ANCHOR}, verify_ok=False))
    books.audit_committed(64, 0.002)
    books.audit_lost(3)

    assert value(books, "ailinux_audit_queue_records") == 17
    assert value(books, "ailinux_audit_sink_lag_records", {"sink": "syslog"}) == 12
    assert value(books, "ailinux_audit_sink_mandatory", {"sink": "syslog"}) == 1
    assert value(books, "ailinux_audit_sink_delivered_total", {"sink": "syslog"}) == 80
    assert value(books, "ailinux_audit_sink_failures_total", {"sink": "syslog"}) == 2
    assert value(books, "ailinux_audit_sink_missed_total", {"sink": "syslog", "reason": "refused"}) == 1
    assert value(books, "ailinux_audit_sink_missed_total", {"sink": "syslog", "reason": "expired"}) == 3
    assert value(books, "ailinux_audit_anchor_overdue_seconds", {"anchor": "tsa"}) == 42.5
    assert value(books, "ailinux_audit_anchored_records", {"anchor": "tsa"}) == 700
    assert value(books, "ailinux_audit_verify_ok") == 0
    assert value(books, "ailinux_audit_records_total") == 64
    assert value(books, "ailinux_audit_commit_seconds_sum") == 0.002
    assert value(books, "ailinux_audit_lost_total") == 3


def test_a_log_that_was_never_verified_claims_nothing() -> None:
    """Neither passed nor failed: no series."""
    books = new_books()
    books.watch(audit=lambda: AuditReadings(0))

    assert value(books, "ailinux_audit_verify_ok") is None
    assert value(books, "ailinux_audit_queue_records") == 0


def test_a_memory_that_cannot_be_counted_shows_no_number() -> None:
    """0 would raise an alarm, the last number would hide one."""
    entries: list[int | None] = [12, None]
    books = new_books()
    books.watch(memory_entries=lambda: entries.pop(0), active_connections=lambda: 1)

    assert value(books, "ailinux_memory_entries_total") == 12
    assert value(books, "ailinux_memory_entries_total") is None


def test_memory_operations_are_counted_and_timed() -> None:
    """By their name, whichever way they came; those that were not served are not."""
    books = new_books()
    books.count(account(endpoint="/mcp", action="request", duration_s=0.004, operation="search"))
    books.count(account(endpoint="/mcp", action="request", status=503, operation="search"))

    assert value(books, "ailinux_memory_operations_total", {"operation": "search"}) == 1
    assert value(books, "ailinux_memory_operation_seconds_sum", {"operation": "search"}) == 0.004


def test_the_memorys_own_calls_are_no_requests() -> None:
    """Their attempts are the llm's, but nobody's request has failed."""
    books = new_books()
    failed = attempt(status="error", error_type="server_error", tokens_source="none")
    books.count(account([failed], endpoint=EMBEDDINGS, status=502, operation="embed"))
    scraped = {(name, labels.get("status")): number for name, labels, number in samples(books)}
    endpoints = {labels.get("endpoint") for _, labels, _ in samples(books)}

    assert scraped["ailinux_memory_embedding_calls_total", "502"] == 1
    assert scraped["ailinux_llm_calls_total", "error"] == 1
    assert EMBEDDINGS not in endpoints


def test_dependencies_and_the_event_loop_are_shown() -> None:
    """Degraded is half."""
    books = new_books()
    books.watch(dependencies=lambda: {"redis": 0.5})
    books.event_loop_lag(0.03)

    assert value(books, "ailinux_dependency_up", {"dependency": "redis"}) == 0.5
    assert value(books, "ailinux_event_loop_lag_seconds_sum") == 0.03


def test_the_build_and_the_last_reload_are_shown() -> None:
    """Which version runs, and since when with this configuration."""
    clock = ManualClock(at=1000.0)
    books = new_books(clock)
    started = value(books, "ailinux_config_last_reload_timestamp_seconds")
    clock.advance(60)
    books.set_models([GPT])
    (build,) = series(books, "ailinux_build_info")

    assert started == 1000
    assert value(books, "ailinux_config_last_reload_timestamp_seconds") == 1060
    assert build["version"] == "1.2.3"


def test_a_scrape_is_timed_and_shows_in_the_next_one() -> None:
    """It cannot know its own length before it is over."""
    books = new_books()
    books.render(None)

    assert value(books, "ailinux_metrics_scrape_seconds_count") == 1


def test_a_live_value_that_cannot_be_read_costs_itself_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The rest of the scrape stands; the failure is logged and counted."""
    readings = iter([4])

    def read() -> int:
        return next(readings)

    books = new_books()
    books.watch(active_connections=read, memory_entries=lambda: 12)
    before = value(books, "ailinux_active_connections")
    after = value(books, "ailinux_active_connections")

    assert (before, after) == (4, None)
    assert value(books, "ailinux_memory_entries_total") == 12
    failures = {"metric": "ailinux_active_connections"}
    assert value(books, "ailinux_metrics_reader_failures_total", failures) == 3
    assert "ailinux_active_connections could not be read" in caplog.text


def test_a_reload_adds_series_and_takes_none_away() -> None:
    """A counter that vanished would be a fall."""
    books = new_books()
    books.count(account([attempt()]))
    books.set_models([("claude", "anthropic")])
    added = {"model": "claude", "provider": "anthropic", "status": "success"}

    assert value(books, "ailinux_llm_calls_total", {**BY_LLM, "status": "success"}) == 1
    assert value(books, "ailinux_llm_calls_total", added) == 0


def test_a_scrape_sees_each_exchange_whole() -> None:
    """Requests, calls and tokens agree in every scrape, also while others are being entered."""
    books = new_books()
    stop = threading.Event()

    def enter() -> None:
        while not stop.is_set():
            books.count(account([attempt(tokens_input=1, tokens_output=0)]))

    writer = threading.Thread(target=enter)
    writer.start()
    names = ("ailinux_request_count", "ailinux_llm_calls_total", "ailinux_llm_tokens_total")
    sights: list[list[float]] = []
    try:
        while len(sights) < 20 or sights[0] == sights[-1]:
            body = list(samples(books))
            sights.append([sum(number for key, _, number in body if key == name) for name in names])
    finally:
        stop.set()
        writer.join()

    assert all(len(set(sight)) == 1 for sight in sights)


def test_entering_from_many_threads_loses_nothing() -> None:
    """Ten thousand exchanges from four threads are ten thousand."""
    books = new_books()

    def enter() -> None:
        for _ in range(2500):
            books.count(account([attempt()]))

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert total(books, "ailinux_request_count") == 10_000
    assert total(books, "ailinux_llm_calls_total") == 10_000


ATTEMPTS = st.builds(
    Attempt,
    llm_id=st.sampled_from(["fast", "slow", "x/typo"]),
    provider=st.sampled_from(["openai", "x"]),
    model=st.sampled_from(["gpt-4o-mini", "typo", ""]),
    started_s=st.floats(0, 900),
    status=st.sampled_from(["success", "error", "timeout", "rate_limited", "cancelled"]),
    error_type=st.none() | st.sampled_from(["connect", "never heard of"]),
    duration_s=st.floats(0, 900),
    first_token_s=st.none() | st.floats(0, 900),
    tokens_input=st.integers(0, 10**6),
    tokens_output=st.integers(0, 10**6),
    tokens_source=st.sampled_from(["provider", "estimated"]),
    chunks=st.integers(0, 5),
    reason=st.none() | st.just("connect"),
)


@given(st.lists(st.tuples(st.lists(ATTEMPTS, max_size=4), st.booleans()), max_size=8))
def test_the_books_balance(stories: list[tuple[list[Attempt], bool]]) -> None:
    """Whatever is entered: requests, attempts, tokens and follow-ups add up to it exactly."""
    books = new_books()
    for attempts, streamed in stories:
        books.count(account(attempts, streamed=streamed))
    every = [each for attempts, _ in stories for each in attempts]
    follows = sum(max(0, len(attempts) - 1) for attempts, _ in stories)

    assert total(books, "ailinux_request_count") == len(stories)
    assert total(books, "ailinux_llm_calls_total") == len(every)
    assert total(books, "ailinux_llm_tokens_total", type="input") == sum(each.tokens_input for each in every)
    assert total(books, "ailinux_llm_retries_total") + total(books, "ailinux_llm_fallbacks_total") == follows
    assert parse(books.render("application/openmetrics-text")[0].decode())


def test_the_clock_is_read_at_each_scrape() -> None:
    """Prometheus' own time of the scrape minus this is how far the two clocks differ."""
    clock = ManualClock()
    books = new_books(clock)
    before = value(books, "ailinux_clock_timestamp_seconds")
    clock.advance(60)

    assert before == clock.time() - 60
    assert value(books, "ailinux_clock_timestamp_seconds") == clock.time()
