"""`tristar audit verify --reconcile`: the books of a gateway that really ran, and books that were cooked."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.logs import AUDIT, enter, run, write
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Answer as UpstreamAnswer
from tests.upstream import Gate, Status, Upstream

from tristar.audit.record import Origin, Scribe
from tristar.cli.reconcile import Page, Tally, compare
from tristar.clock import ManualClock
from tristar.exchange import Attempt, Exchange, Outcome

CLOCK = ManualClock()
Serve = Callable[[str], str]


# --- a gateway that really ran


def at(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    """Work where this gateway does; the address of its metrics."""
    enter(gateway.folder, monkeypatch)
    monkeypatch.setenv("AUDIT_LOG_DIR", str(gateway.audit_folder))
    monkeypatch.setenv("TRISTAR_DATA_DIR", str(gateway.folder / "data"))
    return f"{gateway.url}/metrics"


def test_the_memorys_own_calls_are_in_the_balance(
    gateway: StartGateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have records like requests, and a counter of their own."""
    upstream.default = Status(503)
    toml = document(
        provider("star", upstream.base_url), llm("embed", "star"), '[memory]\nembedding_llm = "embed"'
    )
    running = gateway(toml=toml)
    running.request("GET", "/v1/memory/search", params={"q": "car"})
    result = run("audit", "verify", "--reconcile", at(running, monkeypatch))

    assert running.scrape().value("ailinux_memory_embedding_calls_total") > 0
    assert result.exit_code == 0, result.output


def some_traffic(gateway: Gateway) -> None:
    """Answers, refusals, and paths that nobody serves, within the audited routes and without."""
    for _ in range(3):
        gateway.chat("echo")
    gateway.chat("nobody")
    for path in ("/v1/models", "/v1/none", "/elsewhere", "/admin/breakers", "/health/live"):
        gateway.request("GET", path)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_books_of_a_running_gateway_balance(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Exit 0, and what is compared is said."""
    running = gateway(workers=workers)
    some_traffic(running)

    result = run("audit", "verify", "--reconcile", at(running, monkeypatch))

    assert result.exit_code == 0, result.output
    assert "The books balance: 6 requests" in result.stdout
    assert "2 requests matched no route" in result.stdout


def test_reading_commands_record_themselves_through_the_running_gateway(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway keeps the log; the books still balance afterwards."""
    running = gateway()
    some_traffic(running)
    page = at(running, monkeypatch)

    codes = [
        run("audit", *command).exit_code
        for command in (("query",), ("tail",), ("export", "--output", "out/x.jsonl"), ("prove", "0"))
    ]

    assert codes == [0, 0, 0, 0]
    actions = Counter(record.action for record in running.records())
    assert (actions["audit_read"], actions["audit_exported"]) == (3, 1)
    assert run("audit", "verify", "--reconcile", page).exit_code == 0


def test_rotate_and_recover_leave_a_running_gateway_alone(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, saying that it must be stopped."""
    running = gateway()
    at(running, monkeypatch)

    results = [
        run("audit", "keys", "rotate"),
        run("audit", "recover", "--accept-truncation", "--reason", "r"),
    ]

    assert [result.exit_code for result in results] == [1, 1]
    assert all("stop" in result.stderr for result in results)


@pytest.mark.parametrize("workers", [1, 2])
def test_orphans_of_a_killed_run_belong_to_the_run_that_found_them(
    gateway: StartGateway, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """They are recorded before `service_started`, and counted by what started then."""
    gate = Gate()
    upstream.default = UpstreamAnswer(gate=gate)
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    first = gateway(toml=toml, workers=workers, name="same")
    threads = [threading.Thread(target=lambda: look(first, "fast", stream=True)) for _ in range(3)]
    for thread in threads:
        thread.start()
    upstream.journal.wait_for_calls(3)
    first.kill()
    gate.release()
    for thread in threads:
        thread.join(10)
    upstream.default = UpstreamAnswer()
    second = gateway(toml=toml, workers=workers, name="same")
    second.chat("fast")

    result = run("audit", "verify", "--reconcile", at(second, monkeypatch), "--json")

    answer = json.loads(result.stdout)["reconciled"]
    assert (result.exit_code, answer["requests"]) == (0, 4), answer


@contextmanager
def served() -> Iterator[Serve]:
    """Serves texts as metrics pages: `serve(text)` is the address of one."""
    pages: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pages[int(self.path.strip("/"))])

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def serve(text: str) -> str:
            pages.append(text.encode())
            return f"http://127.0.0.1:{server.server_port}/{len(pages) - 1}"

        try:
            yield serve
        finally:
            server.shutdown()
            thread.join()


def test_a_count_that_is_off_by_one_is_shown_with_both_figures(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 and a table of what differs, and of nothing else."""
    running = gateway()
    some_traffic(running)
    at(running, monkeypatch)
    text = running.request("GET", "/metrics").text
    line = 'ailinux_llm_calls_total{model="echo",provider="echo",status="success"} 3'
    assert line in text

    with served() as serve:
        result = run("audit", "verify", "--reconcile", serve(text.replace(line, line[:-1] + "4")))

    assert result.exit_code == 1
    assert "do NOT balance" in result.stderr
    assert "attempts echo echo success\t4\t3\n" in result.stdout


def test_a_page_that_is_not_this_gateways_is_wrong_use(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's metrics, and those of a process that began after this log's last start."""
    running = gateway()
    at(running, monkeypatch)
    later = 'ailinux_request_count{endpoint="/v1/models",method="GET",status="200"} 1\n'

    with served() as serve:
        other = run("audit", "verify", "--reconcile", serve("up 1\n"))
        newer = run("audit", "verify", "--reconcile", serve(f"{later}process_start_time_seconds 9e9\n"))

    assert (other.exit_code, newer.exit_code) == (2, 2)
    assert "ailinux_request_count" in other.stderr
    assert "AUDIT_LOG_DIR" in newer.stderr


def test_a_fault_in_the_log_counts_for_more_than_a_page_that_cannot_be_read(
    gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, not 2: what was found must not be lost for want of the metrics."""
    running = gateway()
    at(running, monkeypatch)
    running.stop()
    (segment,) = (running.audit_folder / "segments").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"service_started", b"service_5tarted"))

    result = run("audit", "verify", "--reconcile", f"{running.url}/metrics", "--json")

    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"], answer["reconciled"]["ok"]) == (1, False, None)


# --- books that were cooked


def scribe(worker: str = "1") -> Scribe:
    """A scribe of that worker."""
    return Scribe(Origin("host", worker, "1"), clock=CLOCK, fingerprint_key=b"k" * 32)


def call(status: int = 200, outcome: Outcome = "success", *, tokens: int = 3, model: str = "m") -> Exchange:
    """A closed llm call with one attempt."""
    told = Exchange(
        method="POST", resource="/v1/chat", endpoint="/v1/chat", started=1.0, started_at=1.7e9, audited=True
    )
    told.action = "llm_call"
    attempt = Attempt("fast", "p", model, 0.0, status="success", tokens_source="provider")
    attempt.tokens_input, attempt.tokens_output = tokens, 2 * tokens
    told.attempts.append(attempt)
    told.close(status, outcome, 1.5)
    return told


def tally(*entries: Exchange | str, worker: str = "1") -> Tally:
    """What a log of these says: exchanges, or events by their action."""
    pen, told = scribe(worker), Tally()
    for seq, entry in enumerate(entries):
        draft = pen.event(entry, "r") if isinstance(entry, str) else pen.from_exchange(entry)
        told.take(draft.head + str(seq).encode() + draft.tail)
    return told


def page(*calls: Exchange, unmatched: int = 0, lost: int = 0) -> Page:
    """What a gateway counts that saw these."""
    counted = Page(lost=lost, unmatched=Counter({("404",): unmatched}))
    for told in calls:
        counted.requests[(str(told.status),)] += 1
        for attempt in told.attempts:
            pair = attempt.model, attempt.provider
            counted.attempts[(*pair, attempt.status)] += 1
            counted.tokens[(*pair, "input")] += attempt.tokens_input
            counted.tokens[(*pair, "output")] += attempt.tokens_output
    return counted


def differing(log: Tally, metrics: Page) -> list[str]:
    """The figures that do not agree while no traffic flows."""
    return [row.what for row in compare(log, log, metrics).rows if not row.ok]


CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from([200, 429, 499, 502]),
        tokens=st.integers(0, 10**9),
        model=st.sampled_from(["a", "b"]),
    ),
    max_size=20,
)


@given(CALLS, st.data())
def test_equal_books_balance_and_any_one_figure_changed_does_not(
    calls: list[Exchange], data: st.DataObject
) -> None:
    """Requests by status, attempts, tokens: one more or one fewer is found."""
    log, counted = tally("service_started", *calls), page(*calls)
    whole = differing(log, counted)
    side = data.draw(st.sampled_from([counted.requests, counted.attempts, counted.tokens]))
    key = data.draw(
        st.sampled_from(sorted(side) or [("x",) if side is counted.requests else ("x", "p", "x")])
    )
    side[key] += data.draw(st.sampled_from([1, -1] if side[key] else [1]))

    assert whole == []
    assert differing(log, counted) != []


def test_a_request_under_another_status_is_found_though_the_totals_agree() -> None:
    """A 200 that was counted as a 429."""
    found = differing(tally("service_started", call(200)), page(call(429)))

    assert found == ["requests with status 200", "requests with status 429"]


def test_only_what_followed_the_newest_start_is_compared() -> None:
    """Counters begin at zero with a process."""
    log = tally("service_started", call(), call(), "service_stopped", "service_started", call())

    assert differing(log, page(call())) == []


def test_orphans_of_the_run_before_that_recorded_them_itself_stay_with_it() -> None:
    """A worker that died in an earlier run is not counted again after a stop or a crash."""
    orphan = call(500, "orphaned")

    for boundary in ("service_stopped", "audit_recovered"):
        log = tally("service_started", orphan, boundary, "service_started", call())
        assert differing(log, page(call())) == []


def test_library_records_are_left_out() -> None:
    """A program may log an `llm_call` of its own; no gateway has counted it."""
    assert tally("service_started", call(), worker="library-7").requests == Counter()


def test_requests_to_no_route_may_be_recorded_or_not() -> None:
    """Two were counted without a route, one of them under /v1: all that may hide is as many."""
    refused = call(404)

    assert differing(tally("service_started", refused), page(unmatched=2)) != []
    assert (
        differing(tally("service_started", call(404, tokens=0)), page(call(404, tokens=0), unmatched=2)) == []
    )


def test_lost_records_explain_as_many_requests_and_no_more() -> None:
    """`ailinux_audit_lost_total` requests may be missing from the log."""
    log = tally("service_started", call())

    assert differing(log, page(call(), call(503), lost=1)) == []
    assert differing(log, page(call(), call(503), call(503), lost=1)) != []


def test_an_answer_refused_because_its_record_came_late_is_no_difference() -> None:
    """Counted as the 503 that the client got, recorded as what it would have got."""
    late = call(503)

    assert differing(tally("service_started", call(), call()), page(call(), late)) == []


def test_models_counted_without_their_name_are_compared_by_provider() -> None:
    """What clients mistype has no series of its own; the sums still tell."""
    log = tally("service_started", call(model="typo"), call(model="real"))

    assert differing(log, page(call(model="_other"), call(model="real"))) == []
    assert differing(log, page(call(model="_other"), call(model="_other"), call(model="real"))) != []


def test_while_traffic_flows_a_figure_may_lie_between_two_readings() -> None:
    """The page was read after the first and before the second."""
    before, after = tally("service_started", call()), tally("service_started", call(), call(), call())

    assert compare(before, after, page(call(), call())).ok
    assert not compare(before, after, page()).ok
    assert not compare(before, after, page(*[call()] * 4)).ok


def test_a_log_that_cannot_be_read_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 1 with verification's own answer; that there was no comparison is said."""
    enter(tmp_path, monkeypatch)
    write("service_started")
    (segment,) = (AUDIT / "segments").glob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b',"event_id"', b';"event_id"'))

    result = run("audit", "verify", "--reconcile", "http://127.0.0.1:1/metrics")

    assert result.exit_code == 1
    assert "record 0" in result.stderr
    assert "The books were not compared" in result.stderr
