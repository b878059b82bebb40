"""Hedged requests: the next llm is asked when the first is slow; the loser is cancelled and accounted."""

import socket
import threading
from dataclasses import dataclass

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look, request_bytes
from tests.upstream import Answer, Cut, Gate, Hang, Status, Upstream
from tests.upstream.stage import Stage

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
DELAY_S = 0.2


@pytest.fixture
def swift() -> Upstream:
    """The upstream of the llm that is asked second."""
    return Upstream()


def hedged(gateway: StartGateway, upstream: Upstream, swift: Upstream, **keys: float) -> Gateway:
    """An llm `main` that is hedged with `spare`."""
    return gateway(
        toml=document(
            provider("slow", upstream.base_url),
            provider("swift", swift.base_url),
            llm("main", "slow", fallbacks=["spare"], max_concurrent=1, **({"hedge_after_s": DELAY_S} | keys)),
            llm("spare", "swift", max_concurrent=1),
        )
    )


@BOTH_WAYS
def test_the_next_llm_answers_for_a_slow_one(
    gateway: StartGateway, upstream: Upstream, swift: Upstream, *, stream: bool
) -> None:
    """The client's view, the upstreams' journals, the metrics and the record tell the same story."""
    with swift:
        upstream.default = Hang()
        running = hedged(gateway, upstream, swift)
        view = look(running, "main", stream=stream)
        upstream.journal.wait(lambda: upstream.journal.calls[0].cancelled)
        record = running.record_of(view.trace_id)
        again = look(running, "spare", stream=stream)
        upstream.default = Answer()
        loser = look(running, "main", stream=stream)
        scrape = running.scrape()

        assert view.complete
        assert (view.text, view.llm) == (Answer().text, "spare")
        assert view.headers["x-tristar-attempts"] == "2"
        assert record.statuses == ["cancelled", "success"]
        assert record.attempts[0]["error_type"] == "hedge_lost"
        assert record.attempts[1]["reason"] == "hedge"
        assert record.details["tokens_output"] == Answer().usage[1]
        assert again.complete, "the winner's place is free again"
        assert (loser.llm, loser.complete) == ("main", True), "and so is the loser's"
        assert scrape.by("ailinux_llm_fallbacks_total", "from", "to", "reason")["main", "spare", "hedge"] == 1
        assert scrape.by("ailinux_llm_calls_total", "model", "status")["main", "cancelled"] == 1
        assert len(upstream.journal.calls) == 2
        assert_books_balance(running)


@dataclass(frozen=True)
class Held:
    """Answers, from its head on, once the gate is open."""

    gate: Gate

    async def play(self, stage: Stage) -> None:
        """See `Step`."""
        await stage.passage(self.gate)
        await Answer().play(stage)


@dataclass(frozen=True)
class Opening:
    """Opens the gate, and says nothing itself."""

    gate: Gate

    async def play(self, stage: Stage) -> None:
        """See `Step`."""
        self.gate.release()
        await stage.hang()


@BOTH_WAYS
def test_the_first_llm_may_still_win(
    gateway: StartGateway, upstream: Upstream, swift: Upstream, *, stream: bool
) -> None:
    """The second is cancelled, and its place is free at once."""
    gate = Gate()
    with swift:
        upstream.default = Held(gate)
        swift.on("spare", Opening(gate), Answer())
        running = hedged(gateway, upstream, swift)
        view = look(running, "main", stream=stream)
        record = running.record_of(view.trace_id)
        swift.journal.wait(lambda: swift.journal.calls[0].cancelled)

        assert (view.text, view.llm) == (Answer().text, "main")
        assert record.statuses == ["success", "cancelled"]
        assert (record.attempts[1]["error_type"], record.attempts[1]["reason"]) == ("hedge_lost", "hedge")
        assert look(running, "spare").complete
        assert look(running, "main").llm == "main"
        assert_books_balance(running)


def test_a_failure_of_both_is_the_first_llms(
    gateway: StartGateway, upstream: Upstream, swift: Upstream
) -> None:
    """And nobody is asked a second time in the same request."""
    with swift:
        upstream.default = Hang()
        swift.default = Status(503)
        running = hedged(gateway, upstream, swift, timeout_s=1)
        view = look(running, "main")
        record = running.record_of(view.trace_id)

        assert view.status == 504
        assert record.statuses == ["timeout", "error"]
        assert len(swift.journal.calls) == 1
        assert_books_balance(running)


def test_a_stream_that_has_begun_is_not_hedged(
    gateway: StartGateway, upstream: Upstream, swift: Upstream
) -> None:
    """However slow it is from then on; one that breaks is rescued as ever."""
    gate = Gate()
    with swift:
        upstream.on("main", Answer(gate=gate, gate_at=4), Answer(fault=Cut(after=4)))
        running = hedged(gateway, upstream, swift, hedge_after_s=1.0)
        timer = threading.Timer(1.5, gate.release)  # longer than the delay
        timer.start()
        slow = look(running, "main", stream=True)
        timer.join()
        asked = len(swift.journal.calls)
        broken = look(running, "main", stream=True)

        assert (slow.llm, slow.complete, asked) == ("main", True, 0)
        assert broken.complete
        assert broken.text == Answer().text
        assert running.record_of(broken.trace_id).statuses == ["error", "success"]
        assert_books_balance(running)


def test_no_more_than_a_share_of_the_requests_is_hedged(
    gateway: StartGateway, upstream: Upstream, swift: Upstream
) -> None:
    """An upstream that is slow for everyone is not asked twice for everyone."""
    with swift:
        upstream.default = Answer(first_gap_s=0.06)
        swift.default = Hang()
        running = hedged(gateway, upstream, swift, hedge_after_s=0.01)
        views = [look(running, "main", stream=True) for _ in range(25)]

        assert all(view.complete for view in views)
        assert 1 <= len(swift.journal.calls) <= 3
        assert_books_balance(running)


def test_a_client_that_leaves_cancels_both(
    gateway: StartGateway, upstream: Upstream, swift: Upstream
) -> None:
    """Both attempts are the client's to end: neither lost."""
    with swift:
        upstream.default, swift.default = Hang(), Hang()
        running = hedged(gateway, upstream, swift)
        with socket.create_connection(("127.0.0.1", running.port), timeout=10) as sock:
            sock.sendall(request_bytes("main"))
            swift.journal.wait_for_calls(1)
        for journal in (upstream.journal, swift.journal):
            journal.wait(lambda calls=journal.calls: calls[0].cancelled)  # type: ignore[misc]  # bound at once
        assert_books_balance(running)
        (record,) = [one for one in running.records() if one.action == "llm_call"]

        assert [attempt["error_type"] for attempt in record.attempts] == ["client_gone"] * 2
        assert record["outcome"] == "cancelled"
