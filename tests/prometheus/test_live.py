"""A real Prometheus: it finds the names, answers the guide's queries, and its alerts fire."""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.metrics.stories import account, attempt, new_books
from tests.metrics.traffic import play, watched_books
from tests.prometheus.station import ROOT, WINDOW, Station, station, until

from tristar.clock import SystemClock

GUIDE = {"HighErrorRate", "CircuitBreakerOpen", "HighLLMLatency", "LowMemoryEntries"}
SECTION_9 = {
    "request rate": "rate(ailinux_request_count[1m])",
    "calls by provider": "sum(increase(ailinux_llm_calls_total[1h])) by (provider)",
    "mean latency": (
        "avg(rate(ailinux_request_latency_seconds_sum[5m]) / rate(ailinux_request_latency_seconds_count[5m]))"
    ),
    "tokens by type": "sum(rate(ailinux_llm_tokens_total[1m])) by (type)",
}


def panels() -> list[tuple[str, str]]:
    """Title and expression of every query on the dashboard, its variables filled in."""
    dashboard = json.loads((ROOT / "grafana/tristar-dashboard.json").read_text())
    return [
        (f"{panel['title']} {target['refId']}", filled(target["expr"]))
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]


def filled(expr: str) -> str:
    """The expression as Grafana would send it with every variable on All."""
    return re.sub(r"\$(job|instance|model|provider)\b", ".*", expr).replace("$__rate_interval", WINDOW)


@contextmanager
def repeating(act: Callable[[], None]) -> Iterator[None]:
    """Do this ten times a second, in a thread, until the end of the block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.1):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Prometheus over books in which everything happens, all the time."""
    books = watched_books()
    with repeating(lambda: play(books)), station(books, tmp_path_factory.mktemp("busy")) as asked:
        yield asked


def test_the_request_counter_is_found_under_its_exact_name(busy: Station) -> None:
    """Prometheus negotiates OpenMetrics, and still the guide's name is the one it stores."""
    found = until(lambda: busy.query("ailinux_request_count"))
    added = busy.query("ailinux_request_count_total")

    assert {"endpoint", "method", "status"} <= found[0][0].keys()
    assert added == []


def test_a_latency_bucket_leads_to_a_trace(busy: Station) -> None:
    """Prometheus keeps the exemplars of both latency histograms, and none of the request counter."""
    span = {"start": "0", "end": str(time.time() + 600)}  # the books' clock stands still, long ago

    def examples(name: str) -> list[str]:
        found = busy.get("/api/v1/query_exemplars", query=name, **span)
        return [each["labels"]["trace_id"] for series in found for each in series["exemplars"]]

    http = until(lambda: examples("ailinux_request_latency_seconds_bucket"))
    llm = until(lambda: examples("ailinux_llm_latency_seconds_bucket"))

    assert {*http, *llm} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert examples("ailinux_request_count") == []


@pytest.mark.parametrize("query", SECTION_9.values(), ids=SECTION_9.keys())
def test_the_queries_of_the_guide_return_numbers(busy: Station, query: str) -> None:
    """Copied from section 9 of the monitoring guide."""
    found = until(lambda: busy.query(query))

    assert all(math.isfinite(number) for _, number in found)


@pytest.mark.parametrize("variable", ["job", "instance", "model", "provider"])
def test_every_variable_of_the_dashboard_has_values(busy: Station, variable: str) -> None:
    """A menu that is empty hides every panel."""
    dashboard = json.loads((ROOT / "grafana/tristar-dashboard.json").read_text())
    (query,) = [each["definition"] for each in dashboard["templating"]["list"] if each["name"] == variable]
    called = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert called is not None
    selector, label = filled(called[1]), called[2]

    assert label == variable
    assert until(lambda: busy.query(f"count by ({label}) ({selector})"))


class Patient:
    """A gateway whose health is set from outside."""

    def __init__(self) -> None:
        self.memory_entries = 0
        self.breaker = 0
        self.work: Callable[[], None] = self.idle
        self.books = new_books(SystemClock())  # an hour that is not Prometheus' own would be an alert
        self.books.watch(
            memory_entries=lambda: self.memory_entries, breaker_states=lambda: {"fast": self.breaker}
        )
        self._entered = 0

    def live(self) -> None:
        """Do a tenth of a second's work."""
        self.work()

    def idle(self) -> None:
        """No request at all."""

    def thrive(self) -> None:
        """0.1 % errors, an upstream at 12 s."""
        self._enter(every=1000, upstream_s=12.0)

    def suffer(self) -> None:
        """6 % errors, an upstream at 40 s."""
        self._enter(every=16, upstream_s=40.0)

    def _enter(self, every: int, upstream_s: float) -> None:
        for _ in range(50):
            self._entered += 1
            status = 200 if self._entered % every else 503
            call = attempt(duration_s=upstream_s)
            self.books.count(account([call], status=status, duration_s=upstream_s + 0.1))


def test_alerts_follow_a_gateway_from_idle_to_healthy_to_sick(tmp_path: Path) -> None:
    """Idle: the empty memory alone, and no NaN recorded. Healthy: silence. Sick: the guide's four."""
    patient = Patient()
    with repeating(patient.live), station(patient.books, tmp_path) as asked:
        until(lambda: asked.firing() == {"LowMemoryEntries"})
        while_idle = watched_for_a_while(asked)
        recorded_while_idle = asked.query('{__name__=~"job.*"}')

        patient.work, patient.memory_entries = patient.thrive, 50
        until(lambda: not asked.firing())
        while_healthy = watched_for_a_while(asked)

        patient.work, patient.memory_entries, patient.breaker = patient.suffer, 5, 1
        while_sick = until(lambda: asked.firing() if asked.firing() >= GUIDE else set())

    assert while_idle == {"LowMemoryEntries"}
    assert recorded_while_idle == []
    assert while_healthy == set()
    assert while_sick >= GUIDE


def watched_for_a_while(asked: Station) -> set[str]:
    """Every alert that fired while more than the rules' window went by."""
    seen: set[str] = set()
    end = time.monotonic() + 5

    def over() -> bool:
        seen.update(asked.firing())
        return time.monotonic() > end

    until(over)
    return seen
