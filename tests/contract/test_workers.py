"""Workers that are killed, gateways that are stopped: nothing that was answered is lost."""

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.gateway import Gateway, Scrape, assert_books_balance, document, llm, provider, server
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import View, look
from tests.upstream import Answer, Gate, Upstream


def one_llm(upstream: Upstream, **keys: int) -> str:
    """A configuration with the llm `fast`."""
    return document(server(**keys), provider("p", upstream.base_url), llm("fast", "p"))


@dataclass
class Traffic:
    """Clients that ask again and again, half of them for streams; what they got."""

    gateway: Gateway
    views: list[View] = field(default_factory=list)
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, clients: int = 8) -> Iterator["Traffic"]:
        """Keep asking while the block runs."""
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)

    def wait_for(self, answers: int, timeout_s: float = 20.0) -> None:
        """Until this many answers are complete."""
        deadline = time.monotonic() + timeout_s
        while len(self.answered) < answers:
            assert time.monotonic() < deadline, f"{len(self.answered)} answers after {timeout_s} s"
            time.sleep(0.01)

    @property
    def answered(self) -> list[View]:
        """Those that look whole to their client."""
        return [view for view in list(self.views) if view.complete]

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                self.views.append(look(self.gateway, "fast", stream=number % 2 == 0))
            except httpx.HTTPError:
                self.refused += 1


def recorded(gateway: Gateway) -> dict[str, str]:
    """The outcome by trace id of every terminal record."""
    return {record["trace_id"]: record["outcome"] for record in gateway.records() if record.terminal}


def wait_for_workers(gateway: Gateway, but: int, count: int = 2) -> None:
    """Until `count` workers run and `but` is none of them."""
    deadline = time.monotonic() + 10
    while len(alive := gateway.worker_pids()) != count or but in alive:
        assert time.monotonic() < deadline, f"workers {alive} 10 s after {but} was killed"
        time.sleep(0.05)


def ask_in_a_row(gateway: Gateway, model: str, times: int) -> list[int]:
    """So many requests over one connection; their statuses."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    statuses = []
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    for _ in range(times):
        connection.request("POST", "/v1/chat/completions", body)
        with connection.getresponse() as answer:
            answer.read()
            statuses.append(answer.status)
    connection.close()
    return statuses


def test_a_killed_worker_loses_no_count_and_no_record(gateway: StartGateway, upstream: Upstream) -> None:
    """kill -9 amid traffic, three times over; the books balance afterwards."""
    upstream.default = Answer(gap_s=0.005)
    running = gateway(toml=one_llm(upstream), workers=2)
    fallen: list[str] = []
    last: Scrape = running.scrape()
    with Traffic(running).running() as traffic:
        for round_number in range(1, 4):
            traffic.wait_for(100 * round_number)
            killed = running.kill_worker()
            wait_for_workers(running, but=killed)
            now = running.scrape()
            fallen += now.fell_since(last)
            last = now
    outcomes = recorded(running)
    lost = [view.trace_id for view in traffic.answered if outcomes.get(view.trace_id or "") != "success"]

    assert fallen == []
    assert lost == []
    assert_books_balance(running)


def test_a_killed_workers_open_requests_are_recorded_as_orphaned(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """One terminal record for each, and nothing stays in progress."""
    gate = Gate()
    upstream.default = Answer(gate=gate)
    running = gateway(toml=one_llm(upstream), workers=2)
    views: list[View] = []
    threads = [
        threading.Thread(target=lambda: views.append(look(running, "fast", stream=True))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    upstream.journal.wait_for_calls(6)
    for pid in running.worker_pids():
        os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join(10)
    gate.release()
    assert_books_balance(running)
    outcomes = sorted(recorded(running).values())

    assert outcomes == ["orphaned"] * len(upstream.journal.calls)
    assert len(outcomes) >= 6
    assert not any(view.complete for view in views)


def test_four_workers_count_every_request_once_on_every_scrape(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """A thousand requests are a thousand, whichever worker is asked."""
    running = gateway(toml=one_llm(upstream), workers=4)
    with ThreadPoolExecutor(20) as clients:
        rows = list(clients.map(lambda _: ask_in_a_row(running, "fast", 50), range(20)))
    counts = {
        running.scrape().value("ailinux_request_count", endpoint="/v1/chat/completions") for _ in range(20)
    }

    assert rows == [[200] * 50] * 20
    assert counts == {1_000}
    assert_books_balance(running)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path, workers: int
) -> None:
    """Every process killed at once, then started again on the same directories."""
    first = gateway(toml=one_llm(upstream), workers=workers, name="same")
    with Traffic(first).running() as traffic:
        traffic.wait_for(100)
        first.kill()
    second = gateway(toml=one_llm(upstream), workers=workers, name="same")
    outcomes = recorded(second)
    lost = [view.trace_id for view in traffic.answered if outcomes.get(view.trace_id or "") != "success"]

    assert lost == []
    assert look(second, "fast").complete


def test_twenty_restarts_leave_no_more_files_and_no_longer_scrapes(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path
) -> None:
    """kill -9 amid a stream, a start on the same directories: what a life leaves, the next one clears."""
    lives: list[tuple[set[str], int]] = []
    asking: list[threading.Thread] = []
    for _ in range(21):
        upstream.default = Answer(gate=(gate := Gate()))
        running = gateway(toml=one_llm(upstream), name="same")
        asking.append(threading.Thread(target=look, args=(running, "fast"), kwargs={"stream": True}))
        asking[-1].start()
        gate.wait_reached()
        lives.append(
            (files_below(tmp_path / "same"), len(running.request("GET", "/metrics").text.splitlines()))
        )
        running.kill()
        gate.release()
        asking[-1].join(10)
    (early, early_lines), (late, late_lines) = lives[1], lives[-1]
    outcomes = list(recorded(running).values())

    assert late - early == set()
    assert late_lines == early_lines
    assert outcomes == ["orphaned"] * 20


def files_below(folder: Path) -> set[str]:
    """How many of each kind, without numbers and random parts; the tree's tiles grow with the records."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    names = [name for name in names if not name.startswith("audit/tile/")]
    kinds = Counter(re.sub(r"[0-9a-f]{2,}", "N", name) for name in names)
    return {f"{kind} {count}" for kind, count in kinds.items()}


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_streams_finish(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """Ready turns off, the stream in flight ends whole, exit 0, and its record is there."""
    gate = Gate()
    upstream.default = Answer(gate=gate)
    running = gateway(toml=one_llm(upstream), workers=workers)
    views: list[View] = []
    asking = threading.Thread(target=lambda: views.append(look(running, "fast", stream=True)))
    asking.start()
    gate.wait_reached()
    running.process.send_signal(signal.SIGTERM)
    ready_off = _ready_turns_off(running)
    gate.release()
    asking.join(10)
    code = running.stop()

    assert ready_off
    assert views[0].complete
    assert views[0].done
    assert code == 0
    assert recorded(running)[views[0].trace_id or ""] == "success"


def test_what_outlasts_the_drain_time_is_cut_and_recorded(gateway: StartGateway, upstream: Upstream) -> None:
    """The client sees no complete answer, the log has its record, exit 0 all the same."""
    upstream.default = Answer(gate=Gate())
    running = gateway(toml=one_llm(upstream, drain_s=1))
    views: list[View] = []
    asking = threading.Thread(target=lambda: views.append(look(running, "fast", stream=True)))
    asking.start()
    upstream.journal.wait_for_calls(1)
    began = time.monotonic()
    code = running.stop()
    took_s = time.monotonic() - began
    asking.join(10)

    assert code == 0
    assert took_s < 5
    assert not views[0].done
    assert len(recorded(running)) == 1


def test_stopping_in_traffic_loses_no_record(gateway: StartGateway, upstream: Upstream) -> None:
    """SIGTERM while clients keep asking."""
    running = gateway(toml=one_llm(upstream), workers=2)
    with Traffic(running).running() as traffic:
        traffic.wait_for(100)
        code = running.stop()
    outcomes = recorded(running)
    lost = [view.trace_id for view in traffic.answered if outcomes.get(view.trace_id or "") != "success"]

    assert code == 0
    assert lost == []


def _ready_turns_off(gateway: Gateway) -> bool:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{gateway.url}/health/ready").status_code == 503:
                return True
        except httpx.TransportError:
            return True  # not accepting any more is not ready either
        time.sleep(0.02)
    return False
