"""Real processes, really killed."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.audit.bench import Bench

_ROOT = Path(__file__).parents[2]


def _killed(root: Path, name: str, after_bytes: int) -> list[str]:
    """Run a writer until it has acknowledged so much, kill it; returns the acknowledged ids."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.audit.crashing", str(root), name],
        cwd=_ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'src'}"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = process.stdout.read(after_bytes)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read()
    return told.decode().splitlines()


def test_what_was_acknowledged_survives_one_kill_after_another(tmp_path: Path) -> None:
    """After each kill -9 under load every acknowledged record is in the log once, and the next start
    goes on."""
    acknowledged: list[str] = []
    chance = random.Random(20)
    for number in range(12):
        acknowledged += _killed(tmp_path, f"r{number}", chance.randrange(200, 30_000))
    bench = Bench(tmp_path)
    bench.open().close()
    found = Counter(str(record["event_id"]) for record in bench.records())

    assert len(acknowledged) > 1_000
    assert [name for name in acknowledged if found[name] != 1] == []
    assert max(found.values()) == 1
    assert [record["seq"] for record in bench.records()] == list(range(found.total()))
