"""The last calls of a host, and how each llm has fared: bounded, in order, without content."""

from tristar.clock import ManualClock
from tristar.exchange import Account, Attempt
from tristar.host.calls import Calls
from tristar.host.slots import Begun
from tristar.host.vitals import ERRORS, LLMS, WINDOW_S, Vitals


def attempt(status: str = "success", **told: object) -> Attempt:
    """One attempt on the llm `fast`."""
    made = Attempt("fast", "p", "m", 0.1, duration_s=1.0, tokens_input=3, tokens_output=4, price="list")
    made.status = status  # type: ignore[assignment]  # one of the five
    for name, value in told.items():
        setattr(made, name, value)
    return made


def call(n: int = 0, *attempts: Attempt, asked: str = "fast", streamed: bool = True) -> Account:
    """One call that ended, with the number in its ids."""
    return Account(
        "/v1/chat", "POST", 200, 2.0, "llm_call", streamed=streamed, attempts=attempts, asked=asked,
        trace_id=f"{n:032x}", request_id=f"req_{n}", actor="key_1", llm_id="fast", started_at=1e9,
    )  # fmt: skip


def test_what_ended_is_told_newest_first_and_once() -> None:
    """Whoever asks again with `next_after` sees what came since, and nothing twice."""
    calls = Calls()
    for n in range(3):
        calls.take(call(n))
    first = calls.view(0, 10)
    calls.take(call(3))
    second = calls.view(first.next_after, 10)

    assert [each.id for each in first.data] == ["req_2", "req_1", "req_0"]
    assert [(each.n, each.id) for each in second.data] == [(4, "req_3")]
    assert calls.view(second.next_after, 10).data == []


def test_what_is_not_kept_is_counted_as_missed() -> None:
    """By the bound of the ring, and by that of the answer."""
    calls = Calls(kept=5)
    for n in range(20):
        calls.take(call(n))

    assert (len(calls.view(0, 100).data), calls.view(0, 100).missed) == (5, 15)
    assert (len(calls.view(16, 2).data), calls.view(16, 2).missed) == (2, 2)


def test_a_number_of_an_earlier_run_begins_anew() -> None:
    """A viewer that outlives a restart sees the new run's calls."""
    calls = Calls()
    calls.take(call())

    assert len(calls.view(10**6, 10).data) == 1


def test_a_call_tells_its_attempts_and_what_they_cost() -> None:
    """With the reason of each; a cost that is not known makes the sum unknown."""
    calls = Calls()
    failed = attempt("error", error_type="server_error", http_status=500, cost_nanousd=0, price="none")
    calls.take(call(1, failed, attempt(reason="server_error", cost_nanousd=2_000_000)))
    calls.take(call(2, attempt(price="unknown")))
    unknown, known = calls.view(0, 10).data

    assert [(each.status, each.reason) for each in known.attempts] == [
        ("error", None),
        ("success", "server_error"),
    ]
    assert (known.tokens_input, known.tokens_output, known.cost_usd) == (6, 8, 0.002)
    assert unknown.cost_usd is None


def test_a_key_in_place_of_a_model_is_not_shown() -> None:
    """Clients write what they like there."""
    calls = Calls()
    calls.take(call(asked="sk-canary-key-of-a-client-0001"))

    assert calls.view(0, 1).data[0].asked == "[REDACTED]"


def test_calls_in_progress_are_told_longest_first() -> None:
    """And no other requests."""
    begun = [
        Begun(f"{n}", "t", action, "POST", "/v1/chat", "/v1/chat", float(n), None, "key_1")
        for n, action in ((3, "llm_call"), (1, "llm_call"), (2, "request"))
    ]
    view = Calls().view(0, 1, begun)

    assert [each.id for each in view.in_progress] == ["req_1"]
    assert view.in_progress_count == 2


def test_latencies_are_those_of_the_last_minutes() -> None:
    """Median and 95th percentile of successes; first tokens of streams alone."""
    clock = ManualClock()
    vitals = Vitals(clock)
    vitals.take(call(0, attempt(duration_s=900.0)))
    clock.advance(WINDOW_S + 1)
    for n in range(1, 101):
        vitals.take(call(n, attempt(duration_s=n / 100, first_token_s=n / 1000), streamed=n <= 10))
    view = vitals.view("fast")

    assert (view.latency.count, view.latency.p50_s, view.latency.p95_s) == (100, 0.5, 0.95)
    assert (view.first_token.count, view.first_token.p95_s) == (10, 0.01)
    assert (view.calls, view.errors) == (101, 0)


def test_errors_are_told_newest_first_with_time_and_trace() -> None:
    """The last ten; who left is no error of the llm."""
    vitals = Vitals(ManualClock(at=0))
    for n in range(20):
        vitals.take(call(n, attempt("error", error_type="server_error", http_status=500)))
    vitals.take(call(20, attempt("cancelled")))
    view = vitals.view("fast")

    assert len(view.last_errors) == ERRORS
    assert view.last_errors[0].trace_id == f"{19:032x}"
    assert (view.last_errors[0].at, view.last_errors[0].http_status) == ("1970-01-01T00:00:00.000000Z", 500)
    assert (view.calls, view.errors, view.by_status) == (21, 20, {"error": 20, "cancelled": 1})


def test_llms_that_clients_invent_are_bounded() -> None:
    """What is known of the first ones stays."""
    vitals = Vitals(ManualClock())
    for n in range(LLMS + 10):
        vitals.take(call(n, attempt(llm_id=f"ollama/{n}")))

    assert len(vitals.llm_ids) == LLMS
    assert vitals.view("ollama/0").calls == 1
    assert vitals.view(f"ollama/{LLMS}").calls == 0
