"""Anchors in a real gateway: made by themselves, watched, and read by `tristar audit verify`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.audit.anchors.authority import stamping
from tests.audit.sinks.papers import Authority
from tests.gateway import Gateway, document, llm, provider, server
from tests.gateway.fixtures import StartGateway
from tests.upstream import Upstream


def _soon(condition: Callable[[], object], within_s: float = 30.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _ready(running: Gateway) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = running.request("GET", "/health/ready").json()["dependencies"]
    return found


def _verify(running: Gateway) -> tuple[int, dict[str, list[object]]]:
    places = {"AUDIT_LOG_DIR": str(running.audit_folder), "TRISTAR_DATA_DIR": str(running.data_folder)}
    command = [sys.executable, "-m", "tristar", "audit", "verify", "--json"]
    done = subprocess.run(
        command,
        cwd=running.folder,
        env={**os.environ, **places},
        capture_output=True,
        timeout=60,
        check=False,
    )
    report: dict[str, list[object]] = json.loads(done.stdout)
    return done.returncode, report


def test_a_gateway_anchors_its_log_and_says_when_it_cannot(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path
) -> None:
    """A file elsewhere and a time stamp; a mount that is away shows in readiness, metrics and one record."""
    authority, mount = Authority(tmp_path / "papers"), tmp_path / "mount"
    with stamping(tmp_path / "tsa", authority) as site:
        toml = document(
            server(),
            provider("p", upstream.base_url),
            llm("fast", "p"),
            f'[audit.anchors.mount]\ntype = "file"\npath = "{mount}"\ninterval_s = 1',
            f'[audit.anchors.tsa]\ntype = "timestamp"\nurl = "{site.url}"\ninterval_s = 1\n'
            f'tsa_ca_file = "{authority.cert}"',
        )
        running = gateway(toml=toml)
        assert running.chat("fast").status_code == 200
        assert _soon(lambda: _ready(running)["anchor:mount"]["status"] == "degraded")
        degraded, scrape = _ready(running)["anchor:mount"], running.scrape()
        mount.mkdir()
        assert _soon(lambda: _ready(running)["anchor:mount"]["status"] == "ok")
        assert _soon(lambda: running.scrape().value("ailinux_audit_anchored_records", anchor="tsa") > 0)
        running.stop()
        records = running.records()
        code, report = _verify(running)

    assert degraded["reason"] == f"{mount}: no such directory: make it, or mount it"
    assert "kept on this machine only" in degraded["mode"]
    assert scrape.value("ailinux_dependency_up", dependency="anchor:mount") == 0.5
    assert scrape.value("ailinux_audit_anchored_records", anchor="mount") == 0
    transitions = [r.details["to"] for r in records if r["resource"] == "dependency:anchor:mount"]
    assert transitions == ["degraded", "ok"]
    assert (code, report["faults"]) == (0, [])
    told = [str(notice) for notice in report["notices"] if str(notice).startswith("anchor ")]
    assert any("anchor mount: " in notice for notice in told)
    assert any("anchor tsa: " in notice and "stamped at" in notice for notice in told)
    assert not any("no anchor is configured" in str(notice) for notice in report["notices"])
