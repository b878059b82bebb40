"""Rules that are tested, tests that notice when a rule breaks, and pages to act by."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tristar.metrics.rules import FASTEST_BURN
from tristar.settings.kinds import Number
from tristar.settings.llmtable import LLM
from tristar.settings.table import SLO

ROOT = Path(__file__).parents[2]
RULES = ROOT / "prometheus"
TESTS = sorted(path.name for path in (RULES / "tests").glob("*.yml"))
GUIDE = {
    "HighErrorRate": (
        'sum(rate(ailinux_request_count{status=~"5.."}[5m])) / sum(rate(ailinux_request_count[5m])) > 0.05',
        "2m",
        "warning",
        "Error Rate über 5%",
    ),
    "CircuitBreakerOpen": (
        "ailinux_circuit_breaker_state == 1",
        "1m",
        "critical",
        "Circuit Breaker {{ $labels.llm_id }} ist OPEN",
    ),
    "HighLLMLatency": (
        "histogram_quantile(0.95, sum(rate(ailinux_llm_latency_seconds_bucket[5m])) by (le, model) ) > 30",
        "5m",
        "warning",
        "LLM {{ $labels.model }} P95-Latenz > 30s",
    ),
    "LowMemoryEntries": (
        "ailinux_memory_entries_total < 10",
        "10m",
        "info",
        "Wenige Memory-Einträge im System",
    ),
}

SILENCED_FOR = {"critical": "1h", "warning": "4h", "info": "24h"}

Rule = dict[str, Any]


def rules(name: str) -> list[Rule]:
    """Every rule of one file."""
    return [rule for group in yaml.safe_load((RULES / name).read_text())["groups"] for rule in group["rules"]]


ALERTS: dict[str, Rule] = {rule["alert"]: rule for rule in rules("alerts.yml")}


def unit_tests() -> Iterator[tuple[str, list[Rule]]]:
    """Alert and what is expected of it, of every unit test."""
    for name in TESTS:
        for case in yaml.safe_load((RULES / "tests" / name).read_text())["tests"]:
            for each in case.get("alert_rule_test", []):
                yield each["alertname"], each["exp_alerts"]


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Its exit code and all that it says."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, check=False, text=True)
    return done.returncode, done.stdout + done.stderr


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", GUIDE)
def test_the_alerts_of_the_guide_are_kept_to_the_letter(name: str) -> None:
    """Expression, duration, severity and summary as in section 7 of the monitoring guide."""
    expr, lasting, severity, summary = GUIDE[name]
    rule = ALERTS[name]

    assert " ".join(rule["expr"].split()) == expr
    assert rule["for"] == lasting
    assert rule["labels"] == {"severity": severity}
    assert rule["annotations"]["summary"] == summary


@pytest.mark.parametrize("name", TESTS)
def test_the_unit_tests_of_the_rules_pass(name: str) -> None:
    """By promtool, minute by minute."""
    code, said = promtool("test", "rules", RULES / "tests" / name)

    assert code == 0, said


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_seen_to_fire_and_not_to(name: str) -> None:
    """An alert that never fires, or always does, is worse than none."""
    expectations = [expected for alert, expected in unit_tests() if alert == name]

    assert any(expectations)
    assert not all(expectations)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_to_do(name: str) -> None:
    """Severity, summary, description, a runbook that exists and a dashboard."""
    rule = ALERTS[name]
    notes = rule["annotations"]
    page, _, anchor = notes["runbook_url"].partition("#")

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert notes["summary"]
    assert notes["description"]
    assert anchor == name.lower()
    assert anchor in anchors(ROOT / page)
    assert notes["dashboard_url"].startswith("http://localhost:3000/d/tristar")


def test_the_runbook_has_no_page_for_an_alert_that_is_gone() -> None:
    """And its links between sections lead somewhere."""
    page = ROOT / "docs/runbooks/alerts.md"
    sections = set(re.findall(r"^## (\w+)$", page.read_text(), re.MULTILINE))
    links = set(re.findall(r"\]\(#([^)]+)\)", page.read_text()))

    assert sections == set(ALERTS)
    assert links <= anchors(page)


@pytest.mark.parametrize("name", ALERTS)
def test_every_runbook_says_what_it_means_what_to_do_and_how_to_silence_it(name: str) -> None:
    """A paragraph on its meaning, a step or a link to one, and a silence for this alert and severity."""
    page = (ROOT / "docs/runbooks/alerts.md").read_text()
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0].strip()
    meaning, *steps = section.split("\n\n")
    silence = re.search(r"`amtool silence add alertname=(\w+)(?: (\w+)=\S+)? -d (\w+) -c", steps[-1])

    assert len(meaning) > 40
    assert len(steps) >= 2 or "](#" in section or meaning.count(".") > 1
    assert silence is not None
    assert silence[1] == name
    assert silence[3] == SILENCED_FOR[ALERTS[name]["labels"]["severity"]]


@pytest.mark.parametrize("rule", [*rules("alerts.yml"), *rules("recording.yml")])
def test_every_expression_parses(rule: Rule) -> None:
    """By a parser that is not Prometheus itself."""
    assert isinstance(promql_parser.parse(rule["expr"]), promql_parser.Expr)


def test_no_burn_rate_asks_for_more_than_everything() -> None:
    """14.4 times a budget of 5 % is 72 % and can be reached; over 100 % never fires."""
    burns = re.findall(r"\(([\d.]+) \* \S+:budget\)", (RULES / "alerts.yml").read_text())
    least = next(row.kind for row in SLO if row.name == "availability")
    assert isinstance(least, Number)

    assert len(burns) == 16
    assert max(float(burn) for burn in burns) == FASTEST_BURN
    assert FASTEST_BURN * (1 - least.low) < 1
    assert {row.kind for row in SLO if row.name != "llm_within_s"} == {least}
    assert {row.kind for row in LLM if row.name == "slo_success"} == {least}


def test_prometheus_accepts_the_shipped_configuration() -> None:
    """With the rule files beside it."""
    code, said = promtool("check", "config", RULES / "prometheus.yml")

    assert code == 0, said


def test_the_two_configurations_differ_in_one_key() -> None:
    """Prometheus 3 keeps the `_bucket` series; Prometheus 2 does not know the key."""
    two, three = (
        yaml.safe_load((RULES / name).read_text()) for name in ("prometheus.yml", "prometheus-3.yml")
    )
    kept = three["scrape_configs"][0].pop("always_scrape_classic_histograms")

    assert kept is True
    assert two == three


def replaced(old: str, new: str) -> Callable[[str], str]:
    """A break: every `old` becomes `new`."""

    def apply(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return apply


@dataclass(frozen=True)
class Break:
    """A mistake in one rule file, and the unit test that has to notice it."""

    mistake: str
    file: str
    apply: Callable[[str], str]
    noticed_in: str
    noticed_by: str


_ERRORS = 'sum(rate(ailinux_request_count{status=~"5.."}[5m]))'
_MEAN_COUNT = "rate(ailinux_request_latency_seconds_count[5m])"
BREAKS = (
    Break(
        "the counter under its other name",
        "alerts.yml",
        replaced("rate(ailinux_request_count", "rate(ailinux_request_count_total"),
        "guide.yml",
        "6 % of requests fail",
    ),
    Break(
        "a sum left out above",
        "alerts.yml",
        replaced(_ERRORS, _ERRORS[4:-1]),
        "guide.yml",
        "6 % of requests fail",
    ),
    Break(
        "both sums left out: every series divided by itself",
        "alerts.yml",
        lambda text: re.sub(r"sum\((rate\(ailinux_request_count.*\))\)", r"\1", text),
        "guide.yml",
        "0.1 % of requests fail",
    ),
    Break(
        "errors counted as the complement of successes",
        "alerts.yml",
        replaced(f"{_ERRORS}\n", '1 - sum(rate(ailinux_request_count{status="200"}[5m]))\n'),
        "guide.yml",
        "every request fails, none ever succeeded",
    ),
    Break(
        "half-open taken for open",
        "alerts.yml",
        replaced("ailinux_circuit_breaker_state == 1", "ailinux_circuit_breaker_state > 0"),
        "guide.yml",
        "a breaker opens, and half-opens a minute and a half later",
    ),
    Break(
        "the model lost from the quantile",
        "alerts.yml",
        replaced("by (le, model)", "by (le)"),
        "guide.yml",
        "an upstream takes 40 s",
    ),
    Break(
        "absent asks for a name that never is",
        "alerts.yml",
        replaced("absent(ailinux_request_count)", "absent(ailinux_request_count_total)"),
        "watch.yml",
        "the metrics are there",
    ),
    Break(
        "absent replaced by a comparison with zero",
        "alerts.yml",
        replaced("absent(ailinux_request_count)", "ailinux_request_count == 0"),
        "watch.yml",
        "the metrics go away",
    ),
    Break(
        "the zero guard of a ratio removed",
        "recording.yml",
        lambda text: re.sub(r"\(sum by \(job\)(.*) > 0\)", r"sum by (job)\1", text),
        "recording.yml",
        "everything is idle",
    ),
    Break(
        "the zero guard of an average removed",
        "recording.yml",
        replaced(f"({_MEAN_COUNT} > 0)", _MEAN_COUNT),
        "recording.yml",
        "a mean over busy endpoints only",
    ),
    Break(
        "a bound written as no bucket is",
        "recording.yml",
        replaced('le="30.0"', 'le="30"'),
        "recording.yml",
        "four answers in ten take over 30 s",
    ),
    Break(
        "no value where no 5xx series exists",
        "recording.yml",
        lambda text: re.sub(r"\n +or sum by \(job\).*\* 0", "", text),
        "recording.yml",
        "no request has ever failed, and no 5xx series exists",
    ),
    Break(
        "clients that left counted as traffic",
        "recording.yml",
        replaced('{status!="cancelled"}', ""),
        "recording.yml",
        "a timeout after 30 s is counted once",
    ),
    Break(
        "timeouts counted twice",
        "recording.yml",
        replaced('status=~"error|rate_limited"', 'status=~"error|rate_limited|timeout"'),
        "recording.yml",
        "a timeout after 30 s is counted once",
    ),
    Break(
        "the short windows left out",
        "alerts.yml",
        lambda text: re.sub(r"\n +and job:ailinux_request_errors:ratio_rate(5m|30m) > .*budget\)", "", text),
        "budgets.yml",
        "an outage that is over: the long windows still burn, the short ones do not",
    ),
    Break(
        "the budget of all objectives taken for that of availability",
        "recording.yml",
        replaced("vector(0.005)", "vector(0.05)"),
        "budgets.yml",
        "10 % fail after a busy good hour: the one-hour window alone",
    ),
    Break(
        "the guard against single requests removed",
        "alerts.yml",
        lambda text: re.sub(r"and on \(job\) sum by .*> 10", "", text),
        "budgets.yml",
        "a handful of requests, all failing: nobody is woken",
    ),
)


def judged(directory: Path, file: str, text: str, keep: Callable[[str, Rule], bool]) -> str:
    """What promtool says of the unit tests that `keep` picks when one rule file reads `text`."""
    shutil.copytree(RULES, directory, dirs_exist_ok=True)
    (directory / file).write_text(text)
    code, said = promtool("check", "rules", directory / file)
    assert code == 0, f"not a break but a typing error: {said}"
    for name in TESTS:
        path = directory / "tests" / name
        suite = yaml.safe_load(path.read_text())
        suite["tests"] = [case for case in suite["tests"] if keep(name, case)]
        path.write_text(yaml.safe_dump(suite))
    code, said = promtool("test", "rules", *sorted((directory / "tests").iterdir()))
    assert code == 1, "nobody noticed"
    return said


@pytest.mark.parametrize("broken", BREAKS, ids=[broken.mistake for broken in BREAKS])
def test_a_broken_rule_is_noticed(tmp_path: Path, broken: Break) -> None:
    """Each mistake that monitoring has really died of makes a unit test fail."""
    sound = (RULES / broken.file).read_text()
    text = broken.apply(sound)
    wanted = (broken.noticed_in, broken.noticed_by)
    said = judged(tmp_path, broken.file, text, lambda name, case: (name, case["name"]) == wanted)

    assert text != sound
    assert "exp:" in said


def longer(rule: Rule) -> None:
    """It has to last three times as long."""
    rule["for"] = f"{3 * int(rule['for'][:-1])}m" if "for" in rule else "30m"


def turned(rule: Rule) -> None:
    """Its comparison is turned round; `absent` compares nothing and becomes `present`."""
    other = {">": "<", "<": ">", "==": "!="}
    if rule["expr"].startswith("absent"):
        rule["expr"] = "count(ailinux_request_count)"
    rule["expr"] = re.sub(r" (>|<|==) ", lambda found: f" {other[found[1]]} ", rule["expr"])


def fires(_: str, case: Rule) -> bool:
    """Whether this unit test expects an alert."""
    return any(each["exp_alerts"] for each in case.get("alert_rule_test", []))


@pytest.mark.parametrize("spoil", [longer, turned], ids=lambda spoil: str(spoil.__name__))
def test_every_alert_is_noticed_when_it_breaks(tmp_path: Path, spoil: Callable[[Rule], None]) -> None:
    """The same mistake in all alerts at once: the unit tests name each of them."""
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())
    for group in groups["groups"]:
        for rule in group["rules"]:
            spoil(rule)
    said = judged(tmp_path, "alerts.yml", yaml.safe_dump(groups, allow_unicode=True), fires)

    assert set(re.findall(r"alertname: ?(\w+)", said)) == set(ALERTS)
