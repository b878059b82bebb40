"""One gateway in which everything that the guide measures happens, and a Prometheus that scrapes it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.toml import Value, price
from tests.prometheus.station import Station, scraping, until
from tests.upstream import Answer, Status, Upstream

PACE = "200ms"
NEVER_OPEN: dict[str, Value] = {"failures": 1_000_000, "min_calls": 1_000_000}
OPENS_AT_ONCE: dict[str, Value] = {"failures": 1, "cooldown_s": 600}

CHATS = {
    "fast": 200,  # whole, streamed, and on /v1/chat
    "rescued": 200,  # fails twice, then its fallback answers
    "failing": 500,
    "limited": 429,
    "cut-off": 503,  # its breaker opened before the first round
    "nobody": 404,
}
"""What one round asks for on /v1/chat/completions, and the status that comes back."""


@dataclass
class Household:
    """A gateway, its Prometheus, and how many rounds of traffic it has seen."""

    gateway: Gateway
    prometheus: Station
    rounds: int = 0

    def play(self) -> None:
        """One round of mixed traffic, every status as expected."""
        self.rounds += 1
        statuses = {model: self.gateway.chat(model).status_code for model in CHATS}
        streamed = self.gateway.chat("fast", stream=True)
        short = self.gateway.request("POST", "/v1/chat", json={"model": "fast", "messages": [_question()]})
        others = [
            self.gateway.request("POST", "/v1/chat/completions", content=b"{").status_code,
            self.gateway.request("POST", "/v1/memory", json={"content": f"fact {self.rounds}"}).status_code,
            self.gateway.request("GET", "/v1/memory").status_code,
            self.gateway.request("GET", "/v1/models").status_code,
            self.gateway.request("GET", "/health/ready").status_code,
            self.gateway.request("GET", "/nowhere").status_code,
        ]

        assert statuses == CHATS
        assert (streamed.status_code, short.status_code) == (200, 200)
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert others == [400, 201, 200, 200, 200, 404]

    def shown(self, expr: str, *, within_s: float = 60.0) -> list[tuple[dict[str, str], float]]:
        """What Prometheus has for this query while the traffic goes on: only finite numbers count."""

        def look() -> list[tuple[dict[str, str], float]]:
            found = [each for each in self.prometheus.query(expr) if math.isfinite(each[1])]
            if not found:
                self.play()
            return found

        return until(look, within_s=within_s)


@contextmanager
def open_household(folder: Path) -> Iterator[Household]:
    """A running household, one breaker open; everything is ended at the end."""
    with Upstream() as upstream:
        upstream.default = Answer(gap_s=0.001)
        upstream.on("failing", Status(500))
        upstream.on("rescued", Status(500))
        upstream.on("limited", Status(429))
        upstream.on("cut-off", Status(500))
        gateway = Gateway(folder / "gateway", toml=_configuration(upstream))
        with watched(gateway), _watched_by_prometheus(gateway, folder) as prometheus:
            first = gateway.chat("cut-off")
            assert first.status_code == 500, first.text
            yield Household(gateway, prometheus)


@contextmanager
def _watched_by_prometheus(gateway: Gateway, folder: Path) -> Iterator[Station]:
    gateway.start()
    with scraping(f"127.0.0.1:{gateway.port}", folder, pace=PACE) as prometheus:
        yield prometheus


def _configuration(upstream: Upstream) -> str:
    return document(
        provider("star", upstream.base_url),
        llm("fast", "star"),
        price("fast", 1.0, 4.0),
        llm("rescued", "star", retries=1, fallbacks=["fast"], breaker=NEVER_OPEN),
        llm("failing", "star", retries=0, breaker=NEVER_OPEN),
        llm("limited", "star", retries=0, breaker=NEVER_OPEN),
        llm("cut-off", "star", retries=0, breaker=OPENS_AT_ONCE),
    )


def _question() -> dict[str, str]:
    return {"role": "user", "content": "hi"}
