"""`python -m tests.upstream` serves what its arguments say."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def test_the_command_serves_named_steps_and_ends_on_sigterm() -> None:
    """A model's steps in turn, as given on the command line."""
    command = [sys.executable, "-m", "tests.upstream", "--model", "flaky=status_503,answer"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http\S+", process.stdout.readline())
        assert found is not None
        statuses = [
            httpx.post(f"{found[0]}/chat/completions", json={"model": "flaky", "messages": []}).status_code
            for _ in range(2)
        ]
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)

    assert statuses == [503, 200]
    assert code == 0
