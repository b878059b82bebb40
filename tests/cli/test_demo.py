"""`tristar demo`, really run: everything moves, it says what it is, and nothing stays."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tests.gateway.process import SOURCE
from tests.gateway.scrape import Scrape
from tests.prometheus.station import Station, until
from tests.prometheus.test_live import panels

LIVE_WITHIN_S = 60.0
RESTING = {
    "ailinux_audit_anchor_overdue_seconds",
    "ailinux_audit_queue_records",
    "ailinux_audit_sink_lag_records",
    "ailinux_audit_lost_total",
    "ailinux_audit_sink_missed_total",
    "ailinux_metrics_label_overflow_total",
    "ailinux_metrics_reader_failures_total",
    "ailinux_memory_unembedded_entries",
    "ailinux_tls_certificate_end_timestamp_seconds",
}
"""What a gateway that is well, and speaks no TLS, shows at most for a moment."""
TROUBLE = {name for name in RESTING if name.endswith("_total")}


@dataclass
class Demo:
    """A running demo and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Everything printed so far."""
        return "".join(self.lines)

    def found(self, pattern: str) -> str:
        """The first group of this pattern in what was printed, once it is there."""
        match = until(lambda: re.search(pattern, self.text) or self._ended(), within_s=LIVE_WITHIN_S)
        assert isinstance(match, re.Match), self.text
        return match[1]

    def _ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.found(r"console +(http://\S+)/console")

    def scrape(self) -> Scrape:
        """The gateway's metrics now."""
        with urlopen(f"{self.url}/metrics", timeout=10) as answer:
            return Scrape(answer.read().decode())

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def demo(temporary: Path, *arguments: str) -> Iterator[Demo]:
    """A demo in a session of its own, its folder below `temporary`; ended if the test did not."""
    temporary.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tristar", "demo", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Demo(process)
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: running.lines.extend(process.stdout or ()))
    reader.start()
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        reader.join()
        process.stdout.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's demo has its temporary folder."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Demo]:
    """One demo with its Prometheus for all tests of the module."""
    with demo(folder, "--port", "0", "--prometheus") as started:
        yield started


@pytest.fixture(scope="module")
def prometheus(running: Demo) -> Station:
    """The demo's own Prometheus."""
    return Station(running.found(r"prometheus +http://(\S+)/alerts"))


def still(running: Demo) -> set[str]:
    """Families without any sample above zero."""
    scrape = running.scrape()
    names = {f"{name}_count" if kind == "histogram" else name for name, kind in scrape.types.items()}
    return {name for name in names if scrape.value(name) <= 0}


def test_every_metric_moves(running: Demo) -> None:
    """But for what a gateway in trouble would count, which stays at zero."""
    until(lambda: still(running) <= RESTING, within_s=LIVE_WITHIN_S)

    assert {name for name in TROUBLE if running.scrape().value(name) > 0} == set()


def test_a_breaker_opens_probes_and_closes(running: Demo) -> None:
    """The provider that fails every few minutes fails for the first time at once."""
    moved = until(
        lambda: (
            {
                to
                for to in ("open", "half_open", "closed")
                if running.scrape().value("ailinux_circuit_breaker_transitions_total", llm_id="smart", to=to)
                > 0
            }
            == {"open", "half_open", "closed"}
        ),
        within_s=LIVE_WITHIN_S,
    )

    assert moved


def test_every_panel_of_the_dashboard_shows_something(running: Demo, prometheus: Station) -> None:
    """Asked as Grafana would ask, with this demo's scrape interval."""
    assert running.process.poll() is None
    waiting = {title: expr.replace("[4s]", "[20s]") for title, expr in panels()}

    def look() -> bool:
        for title in [title for title, expr in waiting.items() if prometheus.query(expr)]:
            del waiting[title]
        return not waiting

    assert until(look, within_s=LIVE_WITHIN_S), waiting


def test_alerts_come_alive(prometheus: Station) -> None:
    """Those of errors, breakers and memory at once; that of latency needs answers of half a minute."""
    wanted = {"HighErrorRate", "CircuitBreakerOpen", "LowMemoryEntries"}

    def look() -> bool:  # also those that have come and gone while other tests looked on
        return wanted <= {
            labels["alertname"] for labels, _ in prometheus.query("last_over_time(ALERTS[15m])")
        }

    assert until(look, within_s=LIVE_WITHIN_S)


def test_every_surface_is_used(running: Demo) -> None:
    """Chat, Anthropic's messages, OpenAI's responses, embeddings, memory and MCP, all answered."""
    surfaces = ("chat/completions", "chat", "messages", "responses", "embeddings", "memory", "memory/search")
    paths = {"/mcp", *(f"/v1/{each}" for each in surfaces)}

    def answered() -> set[str]:
        counted = running.scrape().by("ailinux_request_count", "endpoint", "status")
        return {endpoint for (endpoint, status), _ in counted.items() if status.startswith("2")}

    assert until(lambda: paths <= answered(), within_s=LIVE_WITHIN_S)


def test_it_says_everywhere_that_it_is_simulated(running: Demo) -> None:
    """On the terminal, and to whoever asks the gateway; the console shows what readiness says."""
    with urlopen(f"{running.url}/health/ready", timeout=10) as answer:
        notice = json.load(answer)["notice"]

    assert running.text.startswith("SIMULATED: ")
    assert notice.startswith("SIMULATED: ")


def test_its_admin_key_opens_the_console_and_nothing_else_does(running: Demo) -> None:
    """The page is there for everybody, what it reads is not."""
    with urlopen(f"{running.url}/console", timeout=10) as answer:
        page = answer.status
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{running.url}/v1/models", timeout=10)
    refused.value.close()

    assert (page, refused.value.code) == (200, 401)
    assert running.found(r"admin key +(demo-\S+)")


def test_ctrl_c_ends_all_of_it_with_balanced_books(running: Demo, folder: Path) -> None:
    """Its last words are those of `audit verify --reconcile`; no process and no file stays."""
    gateway = running.url.rpartition(":")[2]
    code = running.stop()

    assert (code, list(folder.iterdir())) == (0, []), running.text
    assert "the books balance" in running.text.lower(), running.text
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(gateway))) != 0


def test_a_port_in_use_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """The gateway's own words, exit code 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(tmp_path / "tmp", "--port", str(port)) as refused:
            code = refused.process.wait(60)

    assert code == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in refused.text
    assert list((tmp_path / "tmp").iterdir()) == []
