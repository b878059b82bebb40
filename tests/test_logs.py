"""The operator's log."""

import json
import subprocess
import sys

PROGRAM = """
import logging, structlog
from tristar.logs import configure
configure()
try:
    raise RuntimeError("upstream said: bad key sk-canary-0123456789")
except RuntimeError:
    structlog.get_logger("ours").exception("failed", key="sk-canary-1234", all=["sk-canary-1234"])
    logging.getLogger("theirs").exception("failed with %s", "api_key=canary")
"""


def test_no_secret_reaches_the_log_whoever_logs_it() -> None:
    """Fields, lists, messages and tracebacks, of ours and of the libraries; each line stays JSON."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]

    assert [line["event"].split()[0] for line in lines] == ["failed", "failed"]
    assert all("RuntimeError: upstream said: bad key [REDACTED]" in line["exception"] for line in lines)
    assert "canary" not in done.stderr


FORGED = "/v1/x\n2026-01-01T00:00:00Z [info] all is well\x1b[2J\u2028\x07"

FORGERY = f"""
import structlog
from tristar.logs import configure
from tristar.settings.model import Logs
configure(Logs(format=FORMAT))
try:
    raise RuntimeError({FORGED!r})
except RuntimeError:
    structlog.get_logger("ours").exception({FORGED!r}, path={FORGED!r}, plain="Grüße 日本")
"""


def logged(program: str) -> str:
    """What a program writes to its log."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True, timeout=60
    )
    return done.stderr


def test_what_a_client_sends_cannot_begin_a_line_or_move_the_cursor() -> None:
    """On a terminal control characters show as escapes; what is readable in any language stays."""
    text = logged(FORGERY.replace("FORMAT", "'console'"))
    first, *trace = text.splitlines()

    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "\u2028" not in text
    assert r"\n2026-01-01T00:00:00Z [info] all is well\x1b[2J" in first
    assert "Grüße 日本" in first
    assert trace[0].startswith("Traceback")


def test_a_forged_line_stays_within_its_json_line() -> None:
    """One event, one line, whatever is in it."""
    (line,) = logged(FORGERY.replace("FORMAT", "'json'")).splitlines()

    assert json.loads(line)["path"] == FORGED


def test_the_level_leaves_out_what_is_less() -> None:
    """Ours and the libraries' alike."""
    program = """
import logging, structlog
from tristar.logs import configure
from tristar.settings.model import Logs
configure(Logs(level="error"))
for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
    log.info("a"); log.warning("b"); log.error("c")
"""

    assert [json.loads(line)["event"] for line in logged(program).splitlines()] == ["c", "c"]


def test_what_is_logged_for_a_request_carries_its_ids() -> None:
    """By whomever, and without a word about it; what is logged for none carries none."""
    program = """
import logging, structlog
from tristar.exchange import Exchange, in_progress
from tristar.logs import configure
configure()
structlog.get_logger("ours").info("before")
asked = {"method": "GET", "resource": "/", "endpoint": "/", "audited": False, "trace_id": "ab" * 16}
exchange = Exchange(started=0, started_at=0, **asked)
in_progress.set(exchange)
structlog.get_logger("ours").info("ours")
logging.getLogger("theirs").warning("theirs")
"""
    before, *during = [json.loads(line) for line in logged(program).splitlines()]

    assert before.keys().isdisjoint({"request_id", "trace_id"})
    assert [(line["event"], line["trace_id"]) for line in during] == [
        ("ours", "ab" * 16),
        ("theirs", "ab" * 16),
    ]
    assert all(line["request_id"].startswith("req_") for line in during)


FULL = """
import logging, structlog
from tristar.logs import configure
configure()
structlog.get_logger("ours").error("lost")
logging.getLogger("theirs").error("lost too")
print("went on")
"""


def test_a_full_disk_under_the_log_stops_nothing() -> None:
    """What cannot be written is lost; who logs goes on."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device, not a path of ours
        done = subprocess.run(
            [sys.executable, "-c", FULL],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.stdout == "went on\n"
