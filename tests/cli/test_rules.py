"""`tristar rules build`: written from the configuration, compared, and stale."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tristar.cli.root import app
from tristar.metrics.rules import Objective, Objectives, build

NAME = Path("prometheus/recording.yml")
TWO_ON_ONE = """
[providers.openai]
[llms.a]
provider = "openai"
model = "m"
[llms.b]
provider = "openai"
model = "m"
slo_within_s = 5
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(app, ["rules", "build", *arguments])


def test_build_writes_the_rules_of_the_configuration(tmp_path: Path) -> None:
    """The objectives of tristar.toml are in the file, and the next step is said."""
    (tmp_path / "tristar.toml").write_text("[slo]\navailability = 0.99\nllm_within_s = 10")
    result = run()

    assert result.exit_code == 0
    assert "reload Prometheus" in result.stdout
    assert (tmp_path / NAME).read_text(encoding="utf-8") == build(Objectives(0.99, Objective(0.95, 10.0)))


def test_check_refuses_rules_of_another_objective(tmp_path: Path) -> None:
    """Who changes the configuration and forgets the rules is told what to run."""
    run("--output", "r.yml")
    before = run("--check", "--output", "r.yml")
    (tmp_path / "tristar.toml").write_text("[slo]\navailability = 0.999")
    after = run("--check", "--output", "r.yml")

    assert (before.exit_code, after.exit_code) == (0, 1)
    assert "tristar rules build" in after.stderr


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[slo]\navailability = 0.9", "slo.availability"),
        ("[slo]\nllm_within_s = 31", "slo.llm_within_s"),
        (
            TWO_ON_ONE,
            "llms.b",
        ),
    ],
)
def test_objectives_that_could_not_be_kept_watch_of_are_refused(
    tmp_path: Path, toml: str, named: str
) -> None:
    """A budget that no burn can spend, a bound between two buckets, two objectives for one series."""
    (tmp_path / "tristar.toml").write_text(toml)
    result = run()

    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / NAME).exists()
