"""Section 7: the alert rules load in a real Prometheus, and fire when and only when they should.

Live, against the running gateway, with windows of 3 s, a `for` of 1 s and a P95 limit of 0.5 s
in place of 30 s. The guide's own minutes, and its 30 s over the buckets that the running gateway
exposes, by promtool.
"""

import math
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.gateway import Gateway, Scrape
from tests.guide.page import ENGLISH, GERMAN, ROOT, Page
from tests.guide.ward import P95_LIMIT_S, Ward, open_ward
from tests.prometheus.station import Rules, scraping, until

ALERTS = ROOT / "prometheus/alerts.yml"


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """One gateway for all alerts: each test looks at its own."""
    with open_ward(tmp_path_factory.mktemp("ward")) as running:
        yield running


def rules_by_name(text: str) -> dict[str, dict[str, Any]]:
    """The alerting rules of a file, blanks in their expressions made one."""
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {
        rule["alert"]: rule | {"expr": " ".join(rule["expr"].split())} for rule in rules if "alert" in rule
    }


# -- the file -----------------------------------------------------------------


@pytest.mark.parametrize("page", [GERMAN, ENGLISH], ids=["de", "en"])
def test_the_shipped_rules_are_those_of_the_guide(page: Page) -> None:
    """Name, expression, `for` and severity; the summary among the annotations."""
    told, shipped = rules_by_name(page.blocks(7, "yaml")[0]), rules_by_name(ALERTS.read_text())
    same = ("expr", "for", "labels")

    assert list(told) == ["HighErrorRate", "CircuitBreakerOpen", "HighLLMLatency", "LowMemoryEntries"]
    assert all(told[name][key] == shipped[name][key] for name in told for key in same)
    assert all(told[name]["annotations"].items() <= shipped[name]["annotations"].items() for name in told)


def test_the_guides_block_is_a_rule_file_as_it_stands(tmp_path: Path) -> None:
    """Whoever copies it has four working rules."""
    copied = tmp_path / "alerts.yml"
    copied.write_text(GERMAN.blocks(7, "yaml")[0])

    assert "SUCCESS: 4 rules found" in promtool("check", "rules", copied)


def test_the_shipped_file_loads_in_prometheus_word_by_word(ward: Ward, tmp_path: Path) -> None:
    """No rule of it is unhealthy against the running gateway, and no scrape fails."""

    def as_they_are(path: Path) -> Rules:
        rules: Rules = yaml.safe_load(path.read_text())
        return rules

    target = f"127.0.0.1:{ward.gateway.port}"
    with scraping(target, tmp_path, pace="200ms", rules=as_they_are) as prometheus:
        groups = until(lambda: evaluated(prometheus.get("/api/v1/rules")["groups"]))
        (scraped,) = prometheus.get("/api/v1/targets")["activeTargets"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}

    assert rules_by_name(ALERTS.read_text()).keys() <= rules.keys()
    assert {(name, rule["lastError"]) for name, rule in rules.items() if rule.get("lastError")} == set()
    assert {rules[name]["health"] for name in rules_by_name(ALERTS.read_text())} == {"ok"}
    assert (scraped["health"], scraped["lastError"]) == ("up", "")


def evaluated(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups once each rule without a pace of its own was evaluated, else none."""
    health = {rule["health"] for group in groups for rule in group["rules"] if group["interval"] < 1}
    return groups if "unknown" not in health else []


# -- nothing at all -----------------------------------------------------------


def test_an_idle_gateway_calls_for_nobody_but_its_empty_memory(ward: Ward) -> None:
    """No other alert at any look, and no rule has recorded a NaN. Stands before all tests with traffic."""
    seen: set[str] = set()
    until(lambda: ward.prometheus.firing() == {"LowMemoryEntries"})

    def quiet() -> bool:
        seen.update(ward.prometheus.firing())
        return seen == {"LowMemoryEntries"}

    stayed = _always(quiet, 2.0)
    recorded = ward.prometheus.query('{__name__=~".+:.+"}')

    assert stayed, seen
    assert recorded
    assert [labels for labels, value in recorded if not math.isfinite(value)] == []


# -- LowMemoryEntries ---------------------------------------------------------


def test_low_memory_entries_fires_on_an_empty_memory_and_ends_with_the_tenth(ward: Ward) -> None:
    """Nine are too few, ten are enough."""
    until(lambda: ward.summaries("LowMemoryEntries"))
    remember(ward.gateway, 9)
    at_nine = stays(ward, "LowMemoryEntries", for_s=1.0)
    remember(ward.gateway, 1)
    until(lambda: not ward.summaries("LowMemoryEntries"))

    assert at_nine
    assert ward.gateway.scrape().value("ailinux_memory_entries_total") == 10


def remember(gateway: Gateway, entries: int) -> None:
    """So many new entries."""
    for number in range(entries):
        answer = gateway.request("POST", "/v1/memory", json={"content": f"fact {number}"})
        assert answer.status_code == 201


# -- HighErrorRate ------------------------------------------------------------


@pytest.mark.parametrize(("failing", "of"), [(6, 100), (1, 1)], ids=["6 %", "100 %"])
def test_high_error_rate_fires(ward: Ward, failing: int, of: int) -> None:
    """And ends with the errors."""
    until(lambda: not ward.summaries("HighErrorRate"))
    with ward.traffic(failing=failing, of=of):
        told = until(lambda: ward.summaries("HighErrorRate"))
        share = until(lambda: error_ratio(ward))

    assert told == ["Error Rate über 5%"]
    assert share > 0.05


def test_high_error_rate_is_silent_at_one_in_a_thousand(ward: Ward) -> None:
    """Though there are errors, and though each of them is 100 % of its own series."""
    until(lambda: not ward.summaries("HighErrorRate"))
    before = failures(ward.gateway.scrape())
    with ward.traffic(failing=1, of=1_000):
        until(lambda: failures(ward.gateway.scrape()) - before >= 2)
        fired = not stays_silent(ward, "HighErrorRate", for_s=2.0)

    assert not fired


def error_ratio(ward: Ward) -> float:
    """The left side of the alert's expression, as Prometheus has it now; 0.0 for nothing."""
    errors, requests = (f"sum(rate(ailinux_request_count{each}[3s]))" for each in ('{status=~"5.."}', ""))
    found = ward.prometheus.query(f"{errors} / {requests}")
    return found[0][1] if found and math.isfinite(found[0][1]) else 0.0


def failures(scrape: Scrape) -> float:
    """How many requests got a 500 so far."""
    return scrape.value("ailinux_request_count", status="500")


# -- CircuitBreakerOpen -------------------------------------------------------


def test_circuit_breaker_open_fires_when_a_breaker_opens_and_ends_when_it_closes(ward: Ward) -> None:
    """It names the llm; after the cool-down a probe that succeeds closes it."""
    statuses = [ward.gateway.chat("fragile").status_code for _ in range(3)]
    told = until(lambda: ward.summaries("CircuitBreakerOpen"))
    until(lambda: ward.gateway.chat("fragile").status_code == 200)
    until(lambda: not ward.summaries("CircuitBreakerOpen"))

    assert statuses == [500, 500, 503]
    assert told == ["Circuit Breaker fragile ist OPEN"]
    assert ward.gateway.scrape().value("ailinux_circuit_breaker_state", llm_id="fragile") == 0


# -- HighLLMLatency -----------------------------------------------------------


def test_high_llm_latency_fires_for_the_slow_llm_alone(ward: Ward) -> None:
    """P95 over the limit: the upstream that takes longer; the quick one beside it is not named."""

    def seen() -> list[str]:
        assert [ward.gateway.chat(model).status_code for model in ("quick", "slow")] == [200, 200]
        return ward.summaries("HighLLMLatency")

    told = until(seen)
    quick = f'ailinux_llm_latency_seconds_bucket{{model="quick",le="{P95_LIMIT_S}"}}'

    assert told == ["LLM slow P95-Latenz > 30s"]
    assert ward.prometheus.query(f"{quick} > 0")


@pytest.mark.parametrize(("takes_s", "fires"), [(40.0, True), (12.0, False)])
def test_the_buckets_of_the_running_gateway_carry_the_guides_30_s(
    ward: Ward, tmp_path: Path, takes_s: float, fires: bool
) -> None:
    """promtool, with the guide's own rule and minutes: an upstream at 40 s fires, one at 12 s does not."""
    assert ward.gateway.chat("quick").status_code == 200
    series = ward.gateway.scrape().series("ailinux_llm_latency_seconds_bucket", model="quick")
    case = {
        "interval": "1m",
        "input_series": [
            {"series": spelt(dict(labels)), "values": "0+30x20" if bound(labels) >= takes_s else "0x20"}
            for labels in series
        ],
        "alert_rule_test": [
            {"eval_time": "15m", "alertname": "HighLLMLatency", "exp_alerts": [EXPECTED] if fires else []}
        ],
    }
    (tmp_path / "guide.yml").write_text(GERMAN.blocks(7, "yaml")[0])
    test_file = tmp_path / "test.yml"
    test_file.write_text(yaml.safe_dump({"rule_files": ["guide.yml"], "tests": [case]}))

    assert "SUCCESS" in promtool("test", "rules", test_file)


EXPECTED = {
    "exp_labels": {"severity": "warning", "model": "quick"},
    "exp_annotations": {"summary": "LLM quick P95-Latenz > 30s"},
}


def bound(labels: frozenset[tuple[str, str]]) -> float:
    """The `le` of a bucket."""
    return float(dict(labels)["le"])


def spelt(labels: dict[str, str]) -> str:
    """A bucket's series as PromQL has it."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"ailinux_llm_latency_seconds_bucket{{{pairs}}}"


def promtool(*arguments: str | Path) -> str:
    """All that it says; fails if it does."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, check=False, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


def stays(ward: Ward, alert: str, *, for_s: float) -> bool:
    """Whether the alert fires at every look in this time."""
    return _always(lambda: bool(ward.summaries(alert)), for_s)


def stays_silent(ward: Ward, alert: str, *, for_s: float) -> bool:
    """Whether the alert fires at no look in this time."""
    return _always(lambda: not ward.summaries(alert), for_s)


def _always(holds: Callable[[], bool], for_s: float) -> bool:
    looks: list[bool] = []
    end = time.monotonic() + for_s

    def over() -> bool:
        looks.append(holds())
        return time.monotonic() > end

    until(over)
    return all(looks)
