"""Several keys of the operator at one provider: a bad one costs no request, and the operator hears of it."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Answer, Status, Step, Upstream, bad_key, payload
from tests.upstream.stage import Stage

BAD, GOOD, OTHER = (f"sk-canary-provider-key-{name}-0123456789" for name in ("bad", "good", "other"))
SPENT = Status(429, body=payload.error("You exceeded your quota.", kind="insufficient_quota", code="x"))


@dataclass(frozen=True)
class ByKey:
    """Meets each key with a step of its own."""

    steps: dict[str, Step]

    async def play(self, stage: Stage) -> None:
        """As the key in `Authorization` has it."""
        await self.steps[key_of(stage.call.headers)].play(stage)


def key_of(headers: tuple[tuple[str, str], ...]) -> str:
    """The key that came along."""
    return next(value for name, value in headers if name.lower() == "authorization").removeprefix("Bearer ")


def configuration(upstream: Upstream) -> str:
    """An llm whose breaker opens on the first failure that counts, and one behind it."""
    return document(
        provider("p", upstream.base_url, api_key_env="KEYS"),
        provider("q", upstream.base_url),
        '[logs]\nformat = "json"\n',
        llm("a", "p", retries=0, breaker={"failures": 1, "cooldown_s": 600}),
        llm("b", "p", retries=0, fallbacks=["c"]),
        llm("c", "q"),
    )


def condition(gateway: Gateway) -> dict[str, dict[str, str]]:
    """What readiness says of each dependency."""
    dependencies: dict[str, dict[str, str]] = gateway.request("GET", "/health/ready").json()["dependencies"]
    return {"key:p:1": {"status": "ok"}, "key:p:2": {"status": "ok"}} | dependencies


def used(upstream: Upstream) -> Counter[str]:
    """How often each key reached the upstream."""
    return Counter(key_of(call.headers) for call in upstream.journal.of("a"))


def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_no_canary(gateway: Gateway) -> None:
    """No key is in what the gateway wrote, said, recorded or shows."""
    shown = [gateway.request("GET", path).text for path in ("/metrics", "/health/ready", "/v1/models")]
    files = [path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()]

    assert not any("sk-canary" in text for text in [*shown, gateway.output()])
    assert not any(b"sk-canary" in data for data in files)


@pytest.mark.parametrize(
    ("refusal", "workers"),
    [(bad_key(), 2), (bad_key(403), 1), (SPENT, 1), (Status(402), 1)],
    ids=["401", "403", "quota", "402"],
)
def test_a_bad_key_costs_no_request(
    gateway: StartGateway, upstream: Upstream, refusal: Status, workers: int
) -> None:
    """The next key goes on in the same request; the breaker does not count it; every worker knows."""
    upstream.on("a", ByKey({BAD: refusal, GOOD: Answer()}))
    running = gateway(toml=configuration(upstream), env={"KEYS": f"{BAD},{GOOD}"}, workers=workers)
    views = [look(running, "a", stream=number % 2 == 1) for number in range(20)]
    until(lambda: condition(running)["key:p:1"]["status"] == "degraded")
    transitions = [record for record in running.records() if record.action == "dependency_transition"]
    lines = [json.loads(line) for line in running.errors().splitlines() if line.startswith("{")]

    assert all(view.complete and view.text == Answer().text for view in views)
    assert 1 <= used(upstream)[BAD] <= workers
    assert running.scrape().value("ailinux_circuit_breaker_state", llm_id="a") == 0
    assert running.scrape().value("ailinux_dependency_up", dependency="key:p:1") == 0.5
    assert [record["resource"] for record in transitions] == ["dependency:key:p:1"]
    assert [line["name"] for line in lines if line["event"] == "dependency"] == ["key:p:1"]
    assert_no_canary(running)
    assert_books_balance(running)


def test_without_a_good_key_it_is_as_with_one_alone(gateway: StartGateway, upstream: Upstream) -> None:
    """The fallback answers, else 502 and never 401; readiness says why, and stays ready."""
    upstream.on("a", bad_key())
    upstream.on("b", bad_key())
    running = gateway(toml=configuration(upstream), env={"KEYS": f"{BAD},{OTHER}"})
    alone, again, behind = look(running, "a"), look(running, "a", stream=True), look(running, "b")
    ready = running.request("GET", "/health/ready")

    assert [view.status for view in (alone, again)] == [502, 502]
    assert [view.headers["x-tristar-attempts"] for view in (alone, again)] == ["2", "1"]
    assert behind.llm == "c"
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert {condition(running)[f"key:p:{number}"]["status"] for number in (1, 2)} == {"down"}
    assert_no_canary(running)
    assert_books_balance(running)
