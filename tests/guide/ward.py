"""A gateway in as many states of health as there are alerts, and the Prometheus that watches it."""

import http.client
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.toml import Value
from tests.guide.household import NEVER_OPEN, PACE
from tests.prometheus.station import Rules, Station, scraping, shortened
from tests.upstream import Answer, Status, Upstream

WINDOW = "3s"
P95_LIMIT_S = 0.5
"""Stands for the guide's 30 s: like 30, a bucket bound of `ailinux_llm_latency_seconds`."""

FRAGILE: dict[str, Value] = {"failures": 2, "cooldown_s": 3}


@dataclass
class Ward:
    """The gateway, its Prometheus and the upstream behind it."""

    gateway: Gateway
    prometheus: Station
    upstream: Upstream

    def summaries(self, alert: str) -> list[str]:
        """What each firing instance of this alert says."""
        alerts = self.prometheus.get("/api/v1/alerts")["alerts"]
        return [
            each["annotations"]["summary"]
            for each in alerts
            if each["labels"]["alertname"] == alert and each["state"] == "firing"
        ]

    @contextmanager
    def traffic(self, *, failing: int, of: int) -> Iterator[None]:
        """Keep asking while the block runs: `failing` of every `of` requests get a 500, evenly spread."""
        stop = threading.Event()
        thread = threading.Thread(target=self._ask, args=(failing, of, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _ask(self, failing: int, of: int, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=10)
        for number in itertools.count():
            if stop.is_set():
                break
            fails = (number + 1) * failing // of > number * failing // of
            if fails:
                connection.request("POST", "/v1/chat/completions", _chat("failing"))
            else:
                connection.request("GET", "/health/live")
            with connection.getresponse() as answer:
                answer.read()
        connection.close()


@contextmanager
def open_ward(folder: Path) -> Iterator[Ward]:
    """A running ward; everything is ended at the end."""
    with Upstream() as upstream:
        upstream.on("failing", Status(500))
        upstream.on("fragile", Status(500), Status(500), Answer())
        upstream.on("quick", Answer())
        upstream.on("slow", Answer(first_gap_s=1.2 * P95_LIMIT_S))
        gateway = Gateway(folder / "gateway", toml=_configuration(upstream))
        with watched(gateway):
            gateway.start()
            target = f"127.0.0.1:{gateway.port}"
            with scraping(target, folder, pace=PACE, rules=rules_in_seconds) as prometheus:
                yield Ward(gateway, prometheus, upstream)


def rules_in_seconds(path: Path) -> Rules:
    """The rules of a file with windows of 3 s, every `for` of 1 s, and 0.5 s in place of a P95 of 30 s."""
    rules = shortened(path, WINDOW)
    for group in rules["groups"]:
        for rule in group["rules"]:
            if rule.get("alert") == "HighLLMLatency":
                rule["expr"], replaced = re.subn(r"> 30\s*$", f"> {P95_LIMIT_S}", rule["expr"])
                assert replaced == 1
    return rules


def _configuration(upstream: Upstream) -> str:
    patient = partial(llm, provider="star", retries=0)
    return document(
        provider("star", upstream.base_url),
        patient("failing", breaker=NEVER_OPEN),
        patient("fragile", breaker=FRAGILE),
        patient("quick"),
        patient("slow"),
    )


def _chat(model: str) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()
