"""One line gives somebody else's application its metrics and its audit log, under any ASGI server."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from app.utils.metrics import instrument as from_checkout
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.gateway import Gateway
from tests.gateway.house import watched
from tests.guide.plain_uvicorn import PlainUvicorn
from tests.prometheus.station import until

from tristar.metrics import instrument

Start = Callable[..., Gateway]


class Foreign(PlainUvicorn):
    """The foreign application under uvicorn's own command line."""

    def __init__(self, folder: Path, *, workers: int = 1) -> None:
        super().__init__(folder, workers=workers)
        root = str(Path(__file__).parents[2])
        self._env["PYTHONPATH"] = f"{self._env['PYTHONPATH']}:{root}"
        self._command = [
            "tests.instrument.foreign:app" if part == "app.main:app" else part for part in self._command
        ]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """One running process of it."""
    running = Foreign(tmp_path_factory.mktemp("foreign") / "checkout")
    try:  # not `watched`: its own defect is logged with a traceback, as it should be
        yield running.start()
        running.stop()
        assert running.processes() == []
    finally:
        running.close()


def counted(running: Gateway, **labels: str) -> float:
    """How many requests with these labels it has counted."""
    return running.scrape().value("ailinux_request_count", **labels)


@pytest.mark.parametrize(
    ("path", "endpoint", "status"),
    [
        ("/hello/world", "/hello/{name}", 200),
        ("/stream/3", "/stream/{pieces}", 200),
        ("/refused", "/refused", 409),
        ("/broken", "/broken", 500),
        ("/shop/items/7", "/shop/items/{item}", 200),
        ("/nowhere/at/all", "_unmatched", 404),
        ("/stream/many", "/stream/{pieces}", 422),
    ],
)
def test_each_request_is_counted_timed_and_recorded(
    foreign: Foreign, path: str, endpoint: str, status: int
) -> None:
    """Under its route's template, with the status that was sent, whatever the application did."""
    before = counted(foreign, endpoint=endpoint, status=str(status))
    answer = foreign.request("GET", path, headers={"x-user": "alice"})
    scrape = foreign.scrape()
    (record,) = [record for record in foreign.records() if record["resource"] == path]

    assert answer.status_code == status
    assert scrape.value("ailinux_request_count", endpoint=endpoint, status=str(status)) == before + 1
    assert scrape.value("ailinux_request_latency_seconds_count", endpoint=endpoint) >= before + 1
    assert (record.action, record["status"], record["user_id"]) == ("request", status, "alice")


def test_the_answer_is_the_applications_own(foreign: Foreign) -> None:
    """Body and headers as it made them, and the ids under which they are recorded."""
    answer = foreign.request("GET", "/hello/world")
    streamed = foreign.request("GET", "/stream/3")

    assert answer.json() == {"hello": "world"}
    assert streamed.text == "0\n1\n2\n"
    assert foreign.record_of(answer.headers["x-tristar-trace-id"])["resource"] == "/hello/world"


def test_a_client_that_leaves_a_stream_is_counted_as_such(foreign: Foreign) -> None:
    """499, cancelled."""
    with httpx.stream("GET", foreign.url + "/stream/10000") as answer:
        next(answer.iter_bytes())
    until(lambda: counted(foreign, endpoint="/stream/{pieces}", status="499") == 1)
    record = foreign.record_of(answer.headers["x-tristar-trace-id"])

    assert (record["status"], record["outcome"]) == (499, "cancelled")
    assert foreign.scrape().value("ailinux_active_connections") == 0


def test_a_stream_is_passed_on_as_it_comes(foreign: Foreign) -> None:
    """Piece by piece: nothing but the last one waits."""
    with httpx.stream("GET", foreign.url + "/stream/10") as answer:
        seen = [(time.monotonic(), piece) for piece in answer.iter_bytes()]

    assert b"".join(piece for _, piece in seen) == b"".join(f"{n}\n".encode() for n in range(10))
    assert seen[-1][0] - seen[0][0] > 0.1


def test_the_metrics_are_of_the_application_and_promtool_finds_no_fault(foreign: Foreign) -> None:
    """HTTP, audit log and internals; nothing of llms that it does not have."""
    answer = foreign.request("GET", "/metrics", headers={"accept": "application/openmetrics-text"})
    scrape = foreign.scrape()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape.text.encode(), capture_output=True, check=False
    )
    said = (done.stdout + done.stderr).decode().splitlines()

    assert answer.text.endswith("# EOF\n")
    assert {"ailinux_request_count", "ailinux_audit_records_total", "ailinux_build_info"} <= set(scrape.types)
    assert not [name for name in scrape.types if name.startswith("ailinux_llm")]
    assert all(line.startswith("ailinux_request_count ") for line in said)


def test_its_log_verifies_once_it_has_stopped(tmp_path: Path) -> None:
    """Signed like the gateway's own, with each request once."""
    with watched(Foreign(tmp_path / "checkout")) as running:
        running.start()
        for number in range(20):
            running.request("GET", f"/hello/{number}")
        running.stop()
        env = {**os.environ, "AUDIT_LOG_DIR": str(running.audit_folder)}
        env["TRISTAR_DATA_DIR"] = str(running.audit_folder.parent / "data")
        verified = subprocess.run(
            [sys.executable, "-m", "tristar", "audit", "verify"],
            cwd=running.folder,
            env=env,
            capture_output=True,
            check=False,
            text=True,
        )
        resources = [record["resource"] for record in running.records() if record.terminal]

    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert [each for each in resources if each.startswith("/hello")] == [f"/hello/{n}" for n in range(20)]


def test_several_processes_keep_one_count_and_outlive_their_keeper(tmp_path: Path) -> None:
    """Two workers count into one; the one that keeps the books is killed, and the other takes over."""
    with watched(Foreign(tmp_path / "checkout", workers=2)) as running:
        running.start()
        for number in range(30):
            assert running.request("GET", f"/hello/{number}").status_code == 200
        counts = {counted(running, endpoint="/hello/{name}") for _ in range(6)}
        keeper = _keeper(running)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: _keeper(running) not in {0, keeper})
        answered = until(lambda: [running.request("GET", "/hello/again").status_code for _ in range(4)])
        counted_since = counted(running, endpoint="/hello/{name}")
        running.stop()
        recorded = [record["resource"] for record in running.records() if record.terminal]

    assert counts == {30}
    assert answered == [200] * 4
    assert counted_since == 4
    assert sorted(each for each in recorded if each.startswith("/hello")) == sorted(
        [f"/hello/{n}" for n in range(30)] + ["/hello/again"] * 4
    )


def _keeper(running: Gateway) -> int:
    """The process that holds the audit directory's lock; 0 for none."""
    lock = (running.audit_folder / "writer.lock").stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        parts = line.split()
        if "FLOCK" in parts and f":{lock} " in line:
            return int(parts[parts.index("WRITE") + 1])
    return 0


def test_a_bad_setting_stops_the_start(tmp_path: Path) -> None:
    """As it stops the gateway's, and the message names it."""
    running = Foreign(tmp_path / "checkout")
    running._env["AUDIT_MODE"] = "loose"
    running._errors = tmp_path / "stderr.txt"
    done = subprocess.run(
        running._command, cwd=running.folder, env=running._env, capture_output=True, check=False, text=True
    )
    running.close()

    assert done.returncode != 0
    assert "AUDIT_MODE" in done.stderr


def test_twice_is_refused() -> None:
    """Every request would be counted twice."""
    app = instrument(FastAPI())

    with pytest.raises(ValueError, match="instrumented already"):
        instrument(app)


def test_without_lifespan_events_the_application_works_unmeasured() -> None:
    """As in a test client that is not entered: nothing is written anywhere, and the log says so."""
    app = instrument(FastAPI())

    assert TestClient(app).get("/nowhere").status_code == 404


def test_a_checkout_has_it_under_the_guides_own_path() -> None:
    """`app.utils.metrics` beside `app.utils.audit_enhanced`."""
    assert from_checkout is instrument
