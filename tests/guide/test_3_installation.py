"""Section 3: start it with no arguments, and `curl` the metrics."""

import subprocess
from importlib.metadata import requires
from pathlib import Path

from tests.gateway.fixtures import StartGateway
from tests.guide.page import GERMAN, ROOT, statements

from tristar.settings import load


def test_it_listens_on_port_9100_of_this_machine_by_default(tmp_path: Path) -> None:
    """Nothing in the environment, no file, no argument."""
    server = load({}, tmp_path).server

    assert (server.host, server.port, server.workers) == ("127.0.0.1", 9100, 1)


def test_prometheus_client_comes_with_the_installation() -> None:
    """No `pip install` of one's own is needed."""
    assert any(each.startswith("prometheus-client") for each in requires("tristar") or [])


def test_the_service_of_the_guide_runs_the_gateway() -> None:
    """The unit that `systemctl restart` names is there, and starts `tristar serve`."""
    restart = next(line for line in statements(GERMAN.blocks(3, "bash")[0]) if "systemctl" in line)
    unit = ROOT / "deploy/systemd" / restart.split()[-1]

    assert any(
        line.startswith("ExecStart=") and "tristar serve" in line for line in unit.read_text().splitlines()
    )


def test_the_guides_curl_line_shows_the_metrics(gateway: StartGateway) -> None:
    """200 without a redirect, on the very first request; the port is the test's own."""
    running = gateway()
    *_, line = statements(GERMAN.blocks(3, "bash")[0])
    assert line == "curl http://localhost:9100/metrics"

    asked = line.replace("9100", str(running.port)).split()
    done = subprocess.run(
        [*asked, "--silent", "--write-out", "\n%{http_code} %{redirect_url}|%{content_type}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    body, _, told = done.stdout.rpartition("\n")

    assert told == "200 |text/plain; version=0.0.4; charset=utf-8"
    assert body.startswith("# HELP ailinux_request_count ")
