"""Section 4: every variable does what the guide says, in the process that `tristar serve` starts."""

import http.client
import os
import stat
import time
from pathlib import Path

import pytest
import zstandard
from tests.audit.specimens import scribe
from tests.gateway import Gateway
from tests.gateway.fixtures import StartGateway
from tests.gateway.process import NotReady
from tests.guide.checkout import make_checkout, run_python
from tests.guide.page import GERMAN
from tests.prometheus.station import until

from tristar.audit.options import WriterOptions
from tristar.audit.record import MAX_LINE_BYTES
from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter
from tristar.clock import ManualClock
from tristar.settings.table import VARIABLES

BAD = {
    "METRICS_ENABLED": "maybe",
    "METRICS_PATH": "metrics",
    "AUDIT_RETENTION_DAYS": "0",
    "AUDIT_MAX_SIZE_MB": "a lot",
}
DAY_S = 86_400
MIB = 1024 * 1024
UNSET = ""
"""An empty value counts as unset."""


def test_the_table_has_the_variables_and_their_true_defaults() -> None:
    """As the settings know them."""
    known = {row.name: row.default for row in VARIABLES}
    told = {name: default for name, _, default in GERMAN.table(4)}

    assert list(told) == [
        "METRICS_ENABLED",
        "METRICS_PATH",
        "AUDIT_LOG_DIR",
        "AUDIT_RETENTION_DAYS",
        "AUDIT_MAX_SIZE_MB",
    ]
    assert told == {name: str(known[name]).lower() for name in told}


# -- METRICS_ENABLED, METRICS_PATH --------------------------------------------


def test_with_metrics_off_the_endpoint_answers_404_and_chats_are_served(gateway: StartGateway) -> None:
    """In either format, and after traffic too."""
    running = gateway(env={"METRICS_ENABLED": "false"})
    chat = running.chat("echo")
    accepts = ("*/*", "text/plain", "application/openmetrics-text;version=1.0.0")
    answers = [running.request("GET", "/metrics", headers={"accept": each}) for each in accepts]

    assert chat.status_code == 200
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert running.record_of(chat.headers["x-tristar-trace-id"])["outcome"] == "success"


def test_the_metrics_are_where_the_path_says_and_nowhere_else(gateway: StartGateway) -> None:
    """200 without a redirect there, 404 at the default."""
    running = gateway(env={"METRICS_PATH": "/internal/measures"})
    there = running.request("GET", "/internal/measures")

    assert there.status_code == 200
    assert "# TYPE ailinux_request_count counter" in there.text
    assert running.request("GET", "/metrics").status_code == 404


# -- AUDIT_LOG_DIR ------------------------------------------------------------


def test_the_audit_directory_is_made_at_start_for_its_owner_alone(gateway: StartGateway) -> None:
    """`logs/audit` in the working directory when nothing is said; under a generous umask too."""
    before = os.umask(0)
    try:
        running = gateway(env={"AUDIT_LOG_DIR": UNSET})
    finally:
        os.umask(before)

    assert stat.S_IMODE((running.folder / "logs/audit").stat().st_mode) == 0o700


def test_the_audit_log_is_kept_where_the_variable_says(gateway: StartGateway, tmp_path: Path) -> None:
    """Parents are made; nothing is written to the default place."""
    wanted = tmp_path / "var/log/tristar"
    running = gateway(env={"AUDIT_LOG_DIR": str(wanted)})
    running.chat("echo")

    assert [record.action for record in running.records()] == ["service_started", "llm_call"]
    assert stat.S_IMODE(wanted.stat().st_mode) == 0o700
    assert not (running.folder / "logs").exists()


def test_importing_makes_no_directory(tmp_path: Path) -> None:
    """Not the application, not the logger: only a start does."""
    root = make_checkout(tmp_path)
    run_python("import app.main, app.utils.audit_enhanced, tristar.app, tristar.serving", root)

    assert [path.name for path in root.iterdir()] == ["app"]


# -- AUDIT_RETENTION_DAYS -----------------------------------------------------


@pytest.mark.parametrize(("days", "kept"), [("41", True), ("39", False)])
def test_what_is_older_than_the_retention_is_deleted(
    gateway: StartGateway, tmp_path: Path, days: str, kept: bool
) -> None:
    """A log that ended 40 days ago, found at start."""
    folder = tmp_path / "gateway"
    write_log_of_old(folder, age_days=40)
    running = gateway(env={"AUDIT_RETENTION_DAYS": days})
    until(lambda: any(record.action == "audit_segment_closed" for record in running.records()))
    if not kept:
        until(lambda: any(record.action == "audit_retention" for record in running.records()))
    running.stop()

    assert ("order_placed" in {record.action for record in running.records()}) is kept


def write_log_of_old(folder: Path, *, age_days: float) -> None:
    """Ten records of that age in the log of the gateway that will start in `folder`."""
    clock = ManualClock(time.time() - age_days * DAY_S)
    pen = scribe(clock)
    writer = AuditWriter.open(
        folder / "audit",
        options=WriterOptions(),
        signer=Signer.load_or_create(folder / "data"),
        clock=clock,
        on_commit=lambda tokens, error: None,
        internal=pen.internal,
    )
    for number in range(10):
        writer.append(pen.event("order_placed", f"/orders/{number}", "INFO", {}))
    writer.close()


# -- AUDIT_MAX_SIZE_MB --------------------------------------------------------


def test_the_active_segment_is_closed_and_compressed_at_its_size(gateway: StartGateway) -> None:
    """One megabyte, then a second segment; every record is still there, in order."""
    running = gateway(env={"AUDIT_MAX_SIZE_MB": "1", "AUDIT_MODE": "relaxed"})  # relaxed: no wait per record
    segments = running.audit_folder / "segments"
    asked = ask_for_a_second_segment(running, segments)
    until(lambda: list(segments.glob("*.zst")))
    running.stop()
    records = running.records()

    closed = min(segments.glob("*.jsonl.zst"))  # a disk that was slow for a moment may have closed two
    assert closed.name == "00000000000000000000.jsonl.zst"
    assert MIB <= len(zstandard.decompress(closed.read_bytes(), 2 * MIB)) < MIB + MAX_LINE_BYTES
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert sum(record.terminal for record in records) == asked


def ask_for_a_second_segment(running: Gateway, segments: Path) -> int:
    """Make requests with long records until the log has begun another file; how many it took."""
    path, asked = "/v1/" + "x" * 1_000, 0
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    while len(list(segments.iterdir())) == 1:
        assert asked < 2_000, "far more than a megabyte, and still one segment"
        for _ in range(50):
            connection.request("GET", path, headers={"x-session-id": "s" * 200})
            connection.getresponse().read()
        asked += 50
    connection.close()
    return asked


# -- .env, and bad values -----------------------------------------------------


def test_dotenv_is_read_and_the_real_environment_wins(gateway: StartGateway, tmp_path: Path) -> None:
    """`.env` in the working directory."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / ".env").write_text("METRICS_PATH=/from-dotenv\nMETRICS_ENABLED=false\n")
    running = gateway(env={"METRICS_ENABLED": "true"})

    assert running.request("GET", "/from-dotenv").status_code == 200
    assert running.request("GET", "/metrics").status_code == 404


def test_every_bad_value_is_named_and_nothing_starts(tmp_path: Path) -> None:
    """Exit code 2; variable, value, range and fix on one line each; no directory made."""
    code, told = refused(tmp_path / "gateway", BAD)
    lines = {name: next(line for line in told.splitlines() if name in line) for name in BAD}

    assert code == 2
    assert all(value in lines[name] for name, value in BAD.items())
    assert "from 1 to 36500" in lines["AUDIT_RETENTION_DAYS"]
    assert all("default" in line for line in lines.values())
    assert not (tmp_path / "gateway/audit").exists()


def test_an_audit_directory_that_cannot_be_one_stops_the_start(tmp_path: Path) -> None:
    """A file stands in its place."""
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    code, told = refused(tmp_path / "gateway", {"AUDIT_LOG_DIR": str(in_the_way)})

    assert code == 2
    assert f"AUDIT_LOG_DIR = {in_the_way}" in told or str(in_the_way) in told
    assert "is a file" in told


def test_a_bad_value_in_dotenv_stops_the_start_too(tmp_path: Path) -> None:
    """The line is named as if it stood in the environment."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    (folder / ".env").write_text("AUDIT_RETENTION_DAYS=thirty\n")
    code, told = refused(folder, {})

    assert code == 2
    assert "AUDIT_RETENTION_DAYS" in told
    assert "thirty" in told


def refused(folder: Path, env: dict[str, str]) -> tuple[int | None, str]:
    """Start a gateway that must not come up; its exit code, and what it wrote to stderr."""
    gateway = Gateway(folder, env=env)
    try:
        with pytest.raises(NotReady):
            gateway.start()
        return gateway.process.returncode, gateway.errors()
    finally:
        gateway.close()
