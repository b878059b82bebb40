"""On a terminal: progress, headings, and ids that are not cut. In a pipe: none of the first two."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.logs import enter, run, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory, with a log of one record."""
    enter(tmp_path, monkeypatch)
    write("order_seen")


def on_terminal(*arguments: str) -> str:
    """What the command shows on a narrow terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tristar", *arguments]
    env = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # how a terminal ends whose last user is gone
        return b""


def test_verify_shows_progress_on_a_terminal_alone() -> None:
    """A pipe gets no bar and no control characters."""
    shown, piped = on_terminal("audit", "verify"), run("audit", "verify")

    assert "Verifying" in shown
    assert "Verifying" not in piped.output
    assert "\x1b" not in piped.output


def test_query_cuts_no_id_on_a_narrow_terminal() -> None:
    """What is shown can be copied: whole timestamps, whole trace ids, under a heading."""
    shown = on_terminal("audit", "query", "--action", "order_seen")

    heading, row = shown.splitlines()[:2]
    assert heading.split()[:4] == ["TIME", "SEQ", "LEVEL", "ACTION"]
    assert row.split()[-1] == "trace-0"
    assert len(row.split()[0]) == len("2026-01-31T08:00:00.000000Z")
