"""A Prometheus beside the demo, with the shipped rules; only how long they wait is shortened."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import tristar
from tristar.demo.house import end
from tristar.metrics import rules

USUAL_PORT: Final = 9090
WAIT: Final = "5s"
"""Every `for` of the alerts, so that one that takes ten minutes elsewhere is seen here."""

_CONFIGURATION: Final = """\
global:
  scrape_interval: 2s
  evaluation_interval: 2s
rule_files: [recording.yml, alerts.yml]
scrape_configs:
  - job_name: tristar
    metrics_path: /metrics
    static_configs:
      - targets: ["{target}"]
"""


def installed() -> str | None:
    """Where Prometheus is on this machine; None if it is not."""
    return shutil.which("prometheus")


def shipped_alerts() -> str:
    """`prometheus/alerts.yml`: beside this module in a wheel, at the root of a checkout."""
    package = Path(tristar.__file__).parent
    inside = package / "demo/alerts.yml"
    return (inside if inside.exists() else package.parents[1] / "prometheus/alerts.yml").read_text("utf-8")


def impatient(shipped: str) -> str:
    """The same rules: every `for` is `WAIT`, and no group waits longer than the others."""
    prompt = re.sub(r"^ +interval: \S+\n", "", shipped, flags=re.MULTILINE)
    return re.sub(r"^(\s+for:) \S+$", rf"\1 {WAIT}", prompt, flags=re.MULTILINE)


@asynccontextmanager
async def prometheus(folder: Path, program: str, target: str) -> AsyncIterator[str]:
    """Prometheus that scrapes `target` (host:port) until the end of the block; its URL."""
    _write_files(folder, target)
    address = f"127.0.0.1:{_free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address={address}",
            "--enable-feature=exemplar-storage",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        await end(process)


def _write_files(folder: Path, target: str) -> None:
    folder.mkdir()
    (folder / "prometheus.yml").write_text(_CONFIGURATION.format(target=target), encoding="utf-8")
    (folder / "alerts.yml").write_text(impatient(shipped_alerts()), encoding="utf-8")
    (folder / "recording.yml").write_text(impatient(rules.build(rules.Objectives())), encoding="utf-8")


def _free_port() -> int:
    """Prometheus' usual port, or another where that is taken."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    return USUAL_PORT
