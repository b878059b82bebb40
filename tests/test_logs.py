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
