"""`tristar dashboards build`: written, compared, and stale."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tristar.cli.root import app
from tristar.metrics.dashboard import build

NAME = Path("grafana/tristar-dashboard.json")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory."""
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(app, ["dashboards", "build", *arguments])


def test_build_writes_the_dashboard_and_its_folder(tmp_path: Path) -> None:
    """The file is what the code builds."""
    result = run()

    assert (result.exit_code, result.stdout) == (0, f"wrote {NAME}\n")
    assert (tmp_path / NAME).read_text(encoding="utf-8") == build()


def test_check_accepts_what_build_wrote() -> None:
    """A file that is up to date passes."""
    run("--output", "d.json")

    assert run("--check", "--output", "d.json").exit_code == 0


@pytest.mark.parametrize("content", [None, "{}"])
def test_check_refuses_a_missing_or_stale_file_and_leaves_it(tmp_path: Path, content: str | None) -> None:
    """It exits 1, says what to run, and writes nothing."""
    path = tmp_path / "d.json"
    if content is not None:
        path.write_text(content)

    result = run("--check", "--output", "d.json")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "tristar dashboards build" in result.stderr
    assert (path.read_text() if path.exists() else None) == content
