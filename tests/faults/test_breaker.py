"""The breaker seen from outside: opens, lets one probe through, closes; one state over all workers."""

import os
import signal
import threading
import time

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Answer, Gate, Status, Upstream

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def fragile(gateway: StartGateway, upstream: Upstream, spare: Upstream, workers: int = 1) -> Gateway:
    """An llm `main` that opens after two failures for 0.6 s, with and without a fallback."""
    breaker = {"failures": 2, "cooldown_s": 0.6, "max_cooldown_s": 0.6, "probes": 1}
    return gateway(
        workers=workers,
        toml=document(
            provider("one", upstream.base_url),
            provider("other", spare.base_url),
            llm("main", "one", fallbacks=["spare"], retries=0, breaker=breaker),
            llm("alone", "one", retries=0, breaker=breaker),
            llm("spare", "other", retries=0),
        ),
    )


def state(gateway: Gateway, llm_id: str = "main") -> float:
    """0 closed, 1 open, 2 half-open."""
    series = gateway.scrape().series("ailinux_circuit_breaker_state", llm_id=llm_id)

    assert len(series) == 1, "one series per llm, whatever the number of workers"
    return next(iter(series.values()))


@WORKERS
def test_down_and_up_again_is_served_by_the_fallback_meanwhile(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """No client sees an error; the primary is back within seconds of its return."""
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare, workers)
        seen = [look(running, "main").llm for _ in range(3)]
        upstream.go_down()
        down = [look(running, "main") for _ in range(20)]
        opened = state(running)
        upstream.come_up()
        back_s = _seconds_until_primary(running)
        closed = state(running)

        assert seen == ["main"] * 3
        assert all(view.complete and view.llm == "spare" for view in down)
        assert (opened, closed) == (1, 0)
        assert back_s < 10  # a cooldown of 0.6 s and one probe; the rest is for a busy machine
        assert_books_balance(running)


@WORKERS
def test_an_open_breaker_spares_the_upstream(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """After two failures nothing reaches it any more, through whichever worker."""
    upstream.default = Status(500)
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare, workers)
        for _ in range(20):
            look(running, "main")

        assert len(upstream.journal.calls) <= 2 + 2  # two that open it, one probe each 0.6 s
        assert len(spare.journal.calls) == 20


def test_all_targets_open_fails_fast_with_retry_after(gateway: StartGateway, upstream: Upstream) -> None:
    """503 at once, recorded, and no attempt in it."""
    upstream.default = Status(500)
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare)
        statuses = [look(running, "alone").status for _ in range(2)]
        view = look(running, "alone")
        record = running.record_of(view.trace_id)

        assert statuses == [500, 500]
        assert view.status == 503
        assert view.error is not None
        assert view.error["code"] == "all_targets_open"
        assert float(view.headers["retry-after"]) >= 1
        assert record.attempts == []
        assert_books_balance(running)


@WORKERS
def test_one_probe_at_a_time(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """While it is out, everyone else is served by the fallback."""
    gate = Gate()
    upstream.on("main", Status(500), Status(500), Answer(gate=gate))
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare, workers)
        for _ in range(2):
            look(running, "main")
        time.sleep(0.7)  # the cooldown is the gateway's own, in real time
        probing = _in_thread(running)
        gate.wait_reached()
        half_open = state(running)
        others = [look(running, "main").llm for _ in range(10)]
        gate.release()
        probing.join(10)

        assert half_open == 2
        assert others == ["spare"] * 10
        assert len(upstream.journal.calls) == 3


def test_a_429_opens_the_breaker_for_later_requests(gateway: StartGateway, upstream: Upstream) -> None:
    """With its Retry-After as cooldown."""
    upstream.default = Status(429, retry_after="2")
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare)
        look(running, "main")
        opened = state(running)
        calls = len(upstream.journal.calls)
        later = look(running, "main")

        assert opened == 1
        assert later.llm == "spare"
        assert len(upstream.journal.calls) == calls


def test_a_clients_own_mistakes_do_not_open_it(gateway: StartGateway, upstream: Upstream) -> None:
    """Never a 4xx of the client's making."""
    upstream.default = Status(400)
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare)
        for _ in range(10):
            look(running, "main")

        assert state(running) == 0
        assert len(upstream.journal.calls) == 10


def test_the_probe_of_a_dead_worker_keeps_nobody_out(gateway: StartGateway, upstream: Upstream) -> None:
    """Its lease would last for ten minutes; the worker's end ends it."""
    gate = Gate()
    upstream.on("main", Status(500), Status(500), Answer(gate=gate), Answer())
    with Upstream() as spare:
        running = fragile(gateway, upstream, spare, workers=2)
        for _ in range(2):
            look(running, "main")
        time.sleep(0.7)  # the cooldown is the gateway's own, in real time
        probing = _in_thread(running)
        gate.wait_reached()
        for pid in running.worker_pids():
            os.kill(pid, signal.SIGKILL)
        probing.join(10)
        _seconds_until_primary(running)
        gate.release()

        assert state(running) == 0
        assert_books_balance(running)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_slow_answers_open_it_where_they_are_to_count(
    gateway: StartGateway, upstream: Upstream, *, stream: bool
) -> None:
    """The clients have their answers; a long stream with a quick first token is not slow."""
    breaker = {"failures": 1, "cooldown_s": 600, "slow_call_s": 1.0}
    running = gateway(
        toml=document(
            provider("one", upstream.base_url),
            *(llm(name, "one", retries=0, breaker=breaker) for name in ("slow", "long")),
            llm("any", "one", retries=0, breaker={"failures": 1}),
        )
    )
    upstream.default = Answer(first_gap_s=1.2)
    upstream.on("long", Answer(gap_s=0.2))
    views = [look(running, name, stream=stream) for name in ("slow", "long", "any")]

    assert all(view.complete for view in views)
    assert [state(running, name) for name in ("slow", "any")] == [1, 0]
    assert state(running, "long") == 0
    assert_books_balance(running)


def _seconds_until_primary(gateway: Gateway) -> float:
    began = time.monotonic()
    while look(gateway, "main").llm != "main":
        assert time.monotonic() - began < 10, "the primary is not used again"
        time.sleep(0.05)
    return time.monotonic() - began


def _in_thread(gateway: Gateway) -> threading.Thread:
    thread = threading.Thread(target=look, args=(gateway, "main"))
    thread.start()
    return thread
