"""Recording rules that follow the objectives in the configuration."""

import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from tristar.cli.rules import objectives_of
from tristar.metrics.rules import WINDOWS, Objective, Objectives, build
from tristar.settings import Settings, load

ROOT = Path(__file__).parents[2]
PAGED = 'count by (model) (ALERTS{alertname="LLMLatencyBudgetBurnFast", alertstate="firing"})'
OWN = Objectives(0.99, Objective(0.98, 10.0), {("gpt", "openai"): Objective(0.94, 60.0)})


def settings(toml: str, tmp_path: Path) -> Settings:
    """The settings that such a file gives."""
    (tmp_path / "tristar.toml").write_text(toml)
    return load({}, tmp_path)


def test_the_committed_rules_are_those_of_the_default_objectives() -> None:
    """After a change in the code: `make docs`."""
    assert (ROOT / "prometheus/recording.yml").read_text() == build(Objectives())


def test_objectives_come_from_the_configuration(tmp_path: Path) -> None:
    """`[slo]` for all, an llm's own keys for its model and provider alone."""
    found = objectives_of(
        settings(
            """
            [slo]
            availability = 0.99
            llm_success = 0.98
            llm_within_s = 10
            [providers.openai]
            [llms.fast]
            provider = "openai"
            model = "gpt"
            slo_success = 0.94
            slo_within_s = 60
            [llms.other]
            provider = "openai"
            """,
            tmp_path,
        )
    )

    assert found == OWN


def test_one_key_of_its_own_leaves_the_other_to_all(tmp_path: Path) -> None:
    """What an llm does not say is what `[slo]` says."""
    found = objectives_of(
        settings('[providers.openai]\n[llms.fast]\nprovider = "openai"\nslo_within_s = 5', tmp_path)
    )

    assert found.own == {("fast", "openai"): Objective(0.95, 5.0)}


def test_an_objective_that_no_bucket_can_tell_is_refused() -> None:
    """A bound that is none would match nothing, and nobody would ever be told."""
    with pytest.raises(ValueError, match="no bound"):
        Objective(0.95, 31.0)


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["default", "own"])
def test_every_rule_parses_and_none_is_there_twice(objectives: Objectives) -> None:
    """One rule per name, so that no two write the same series."""
    groups = yaml.safe_load(build(objectives))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert all(isinstance(promql_parser.parse(rule["expr"]), promql_parser.Expr) for rule in rules)
    assert len({rule["record"] for rule in rules}) == len(rules) == 2 * len(WINDOWS) + 3


def test_names_with_quotes_cannot_break_the_rules() -> None:
    """A model's name is whatever its provider calls it."""
    odd = Objectives(own={('a"b\\c', "p{}"): Objective(0.94, 60.0)})
    groups = yaml.safe_load(build(odd))["groups"]

    assert all(promql_parser.parse(rule["expr"]) for group in groups for rule in group["rules"])


def counted(model: str, *, bad: int) -> list[dict[str, str]]:
    """Series of a model with 100 attempts a minute, `bad` of them between 30 and 60 s, the rest quick."""
    by = f'job="tristar", model="{model}", provider="openai"'
    ends = {
        f'ailinux_llm_calls_total{{{by}, status="success"}}': 100,
        f'ailinux_llm_calls_total{{{by}, status="error"}}': 0,
        f'ailinux_llm_calls_total{{{by}, status="timeout"}}': 0,
        f"ailinux_llm_latency_seconds_count{{{by}}}": 100,
        f'ailinux_llm_latency_seconds_bucket{{{by}, le="10.0"}}': 100 - bad,
        f'ailinux_llm_latency_seconds_bucket{{{by}, le="60.0"}}': 100,
    }
    return [{"series": series, "values": f"0+{step}x20"} for series, step in ends.items()]


def test_each_model_is_judged_by_its_own_objective(tmp_path: Path) -> None:
    """Half of the attempts take 40 s: well within one model's 60 s, a page for the one with 10 s."""
    (tmp_path / "recording.yml").write_text(build(OWN))
    (tmp_path / "alerts.yml").write_text((ROOT / "prometheus/alerts.yml").read_text())
    ratio = "job_model_provider:ailinux_llm_slow_or_failed"
    where = '{job="tristar", model="%s", provider="openai"}'
    wanted = {
        f"{ratio}:ratio_rate5m{where % 'gpt'}": 0,
        f"{ratio}:ratio_rate5m{where % 'claude'}": 0.5,
        f"{ratio}:budget{where % 'gpt'}": 0.06,
        f"{ratio}:budget{where % 'claude'}": 0.02,
    }
    case = {
        "interval": "1m",
        "input_series": [*counted("gpt", bad=50), *counted("claude", bad=50)],
        "promql_expr_test": [
            {"expr": series, "eval_time": "15m", "exp_samples": [{"labels": series, "value": value}]}
            for series, value in wanted.items()
        ]
        + [
            {
                "expr": PAGED,
                "eval_time": "15m",
                "exp_samples": [{"labels": '{model="claude"}', "value": 1}],
            }
        ],
    }
    suite = {"rule_files": ["recording.yml", "alerts.yml"], "evaluation_interval": "30s", "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(suite))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "test.yml"], capture_output=True, check=False, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
