"""The gateway under measurement: started, pinned, checked to have counted, stopped.

Every request presents a key that has limits of its own, so that authentication and limits are paid for.
"""

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import keyring
from benchmarks.machine import pinned, stop
from benchmarks.nginx import Served

from tristar.auth.actor import Limits

ROOT = Path(__file__).parent.parent

CONFIG = """\
[providers.static]
base_url = "http://127.0.0.1:{port}/v1"
[llms.bench]
provider = "static"
"""
SPARE = '[llms.spare{number}]\nprovider = "static"\n'


@dataclass(frozen=True)
class Gateway(Served):
    """A running gateway, and how long it took from the command to ready."""

    ready_s: float = 0.0


@contextmanager
def gateway(
    folder: Path,
    upstream: int,
    audit_mode: str,
    *,
    cores: str,
    workers: int = 1,
    llms: int = 1,
    keys: int = 1,
    limits: Limits = keyring.PLENTY,
) -> Iterator[Gateway]:
    """A gateway with so many llms and keys on this upstream, held to these cores (`taskset`'s list)."""
    folder.mkdir(parents=True)
    secret = keyring.cut(folder / "data", keys, limits)
    spares = "".join(SPARE.format(number=number) for number in range(llms - 1))
    (folder / "tristar.toml").write_text(CONFIG.format(port=upstream) + spares)
    command = [sys.executable, "-m", "tristar", "serve", "--port", "0", "--workers", str(workers)]
    began = time.monotonic()
    process = subprocess.Popen(
        pinned(cores, command),
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "AUDIT_MODE": audit_mode,
        },
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr.txt").open("wb"),
        text=True,
        start_new_session=True,
    )
    try:
        port = _learn_port(process, folder)
        ready_s = time.monotonic() - began
        yield Gateway(process.pid, port, {"Authorization": f"Bearer {secret}"}, ready_s)
        _check_counted(port)
    finally:
        stop(process)


def _learn_port(process: "subprocess.Popen[str]", folder: Path) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"listening on http://[^:]+:(\d+)", line)
        if found:
            _await_ready(int(found[1]))
            return int(found[1])
    raise RuntimeError(f"the gateway did not start:\n{(folder / 'stderr.txt').read_text()}")


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("the gateway did not become ready within 10 s")


def _check_counted(port: int) -> None:
    """A benchmark of a gateway that counts nothing would be worth nothing."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        counts = re.findall(
            r'^ailinux_request_count\{endpoint="/v1/chat/completions".*\} (\S+)', text, re.MULTILINE
        )
        if sum(map(float, counts)) >= 1:
            return
        time.sleep(0.1)  # streams that were left are settled a moment later
    raise RuntimeError("the gateway counted no request")
