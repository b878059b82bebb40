"""Sinks of the audit log in a real gateway: requests never wait for them, and nothing they need is lost."""

import json
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.audit.sinks.website import Post, Reply, Website, serving
from tests.gateway import Gateway, document, llm, provider, server
from tests.gateway.fixtures import StartGateway
from tests.upstream import Upstream

ENV = {"HOOK_SECRET": "canary-5b1f0c52d9e84a77", "TRISTAR_ADMIN_KEY": "admin-key-0123456789"}
ADMIN = {"authorization": f"Bearer {ENV['TRISTAR_ADMIN_KEY']}"}


@dataclass
class Siem:
    """A webhook that keeps records, or fails with `status` while that is set."""

    status: int = 0
    records: list[dict[str, object]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def __call__(self, post: Post) -> Reply:
        """See `Answer`."""
        if not self.hold.wait(30):
            raise TimeoutError("never let go")
        if self.status:
            return self.status, b"", {}
        self.records += [json.loads(line) for line in post.body.splitlines()]
        return 204, b"", {}

    @property
    def seqs(self) -> list[int]:
        """The numbers in the order of their first arrival."""
        return list(dict.fromkeys(int(str(record["seq"])) for record in self.records))


def _toml(upstream: Upstream, *sinks: tuple[str, Website], mandatory: bool = False) -> str:
    tables = [
        "\n".join(
            [
                f"[audit.sinks.{name}]",
                'type = "webhook"',
                f'url = "{site.url}"',
                'secret_env = "HOOK_SECRET"',
                "linger_s = 0.1",
                f"mandatory = {str(mandatory).lower()}",
            ]
        )
        for name, site in sinks
    ]
    return document(server(), provider("p", upstream.base_url), llm("fast", "p"), *tables)


def _soon(condition: Callable[[], object], within_s: float = 30.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def _ask(gateway: Gateway, times: int) -> None:
    for _ in range(times):
        assert gateway.chat("fast", headers=ADMIN).status_code == 200


def _ready(gateway: Gateway) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = gateway.request("GET", "/health/ready").json()["dependencies"]
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sink_that_fails_is_shown_everywhere_and_delays_nobody(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """Lag, dependency and readiness say so, one record tells each transition, and all arrives in the end."""
    siem = Siem(status=503)
    with serving(Website(siem)) as site:
        running = gateway(toml=_toml(upstream, ("siem", site)), env=ENV, workers=workers)
        _ask(running, 20)
        assert _soon(lambda: _ready(running)["sink:siem"]["status"] == "degraded")
        degraded, scrape = _ready(running)["sink:siem"], running.scrape()
        answer = running.request("GET", "/health/ready")
        siem.status = 0
        assert _soon(lambda: running.scrape().value("ailinux_audit_sink_lag_records", sink="siem") == 0)
        assert _soon(lambda: running.scrape().value("ailinux_dependency_up", dependency="sink:siem") == 1)
        well = running.scrape()
        running.stop()

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert degraded["mode"] == "requests are served, records wait in the log"
    assert "503" in degraded["reason"]
    assert scrape.value("ailinux_audit_sink_lag_records", sink="siem") >= 20
    assert scrape.value("ailinux_audit_sink_failures_total", sink="siem") >= 3
    assert scrape.value("ailinux_dependency_up", dependency="sink:siem") == 0.5
    assert well.value("ailinux_audit_sink_delivered_total", sink="siem") >= 20
    transitions = [
        record.details["to"]
        for record in running.records()
        if record.action == "dependency_transition" and record["resource"] == "dependency:sink:siem"
    ]
    assert transitions == ["degraded", "ok"]
    assert [record["seq"] for record in running.records()] == siem.seqs


def test_a_gateway_killed_between_delivery_and_cursor_sends_again_and_loses_nothing(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """kill -9 while the receiver has a batch and we have no answer yet, several times over."""
    siem = Siem()
    with serving(Website(siem)) as site:
        running = gateway(toml=_toml(upstream, ("siem", site)), env=ENV)
        for _ in range(3):
            siem.hold.clear()
            posts = len(site.posts)
            _ask(running, 5)
            assert _soon(lambda posts=posts: len(site.posts) > posts)  # type: ignore[misc]  # a default binds it
            running.kill()
            siem.hold.set()
            running = gateway(toml=_toml(upstream, ("siem", site)), env=ENV)
        assert _soon(lambda: running.scrape().value("ailinux_audit_sink_lag_records", sink="siem") == 0)
        running.stop()
        records = running.records()

    assert siem.seqs == [record["seq"] for record in records]
    assert len(siem.records) > len(records)
    assert len({str(record["event_id"]) for record in siem.records}) == len(records)


def test_what_was_recorded_last_is_delivered_before_the_gateway_ends(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """SIGTERM: even `service_stopped` arrives, though records may gather for an hour."""
    siem = Siem()
    with serving(Website(siem)) as site:
        toml = _toml(upstream, ("siem", site)).replace("linger_s = 0.1", "linger_s = 3600")
        running = gateway(toml=toml, env=ENV)
        _ask(running, 3)
        assert running.stop() == 0

    assert siem.records[-1]["action"] == "service_stopped"


def test_a_reload_takes_sinks_over_with_nothing_lost(gateway: StartGateway, upstream: Upstream) -> None:
    """SIGHUP: one sink is added, one removed; the one that stays repeats nothing."""
    stays, goes, comes = Siem(), Siem(), Siem()
    with serving(Website(stays)) as first, serving(Website(goes)) as second, serving(Website(comes)) as third:
        running = gateway(toml=_toml(upstream, ("stays", first), ("goes", second)), env=ENV)
        _ask(running, 5)
        (running.folder / "tristar.toml").write_text(_toml(upstream, ("stays", first), ("comes", third)))
        running.process.send_signal(signal.SIGHUP)
        assert _soon(lambda: "sink:comes" in _ready(running))
        _ask(running, 5)
        assert _soon(lambda: running.scrape().value("ailinux_audit_sink_lag_records", sink="comes") == 0)
        running.stop()
        seqs = [record["seq"] for record in running.records()]

    assert (stays.seqs, comes.seqs) == (seqs, seqs)
    assert [record["seq"] for record in stays.records] == seqs
    assert len(goes.seqs) < len(seqs)


def test_the_secret_is_nowhere(gateway: StartGateway, upstream: Upstream) -> None:
    """Not in the log, the audit log, the cursor or the metrics, while the sink fails."""
    with serving(Website(Siem(status=401))) as site:
        running = gateway(toml=_toml(upstream, ("siem", site)), env=ENV)
        _ask(running, 2)
        assert _soon(lambda: _ready(running)["sink:siem"]["status"] == "degraded")
        shown = running.request("GET", "/health/ready").text + running.request("GET", "/metrics").text
        running.stop()
        files = [path for path in Path(running.folder).rglob("*") if path.is_file()]

    assert ENV["HOOK_SECRET"] not in shown + running.output()
    assert not [path for path in files if ENV["HOOK_SECRET"].encode() in path.read_bytes()]
