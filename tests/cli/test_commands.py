"""The command line: what it prints where, and how it exits."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import tristar
from tristar.cli.root import app
from tristar.settings.table import VARIABLES

FILE = """
[providers.p]
base_url = "http://127.0.0.1:1/v1"
[llms.fast]
provider = "p"
model = "m"
fallbacks = ["slow"]
[llms.slow]
provider = "p"
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory, with none of the gateway's variables set."""
    monkeypatch.chdir(tmp_path)
    for row in VARIABLES:
        monkeypatch.delenv(row.name, raising=False)


def run(*arguments: str) -> Result:
    """One command, in this process."""
    return CliRunner().invoke(app, list(arguments))


def test_version_is_the_package_version() -> None:
    """Scripts read it as the second word."""
    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, f"tristar {tristar.__version__}\n")


def test_check_accepts_a_good_configuration(tmp_path: Path) -> None:
    """It exits 0 and says what was read."""
    (tmp_path / "tristar.toml").write_text(FILE)

    result = run("check")

    assert result.exit_code == 0
    assert "2 llms" in result.stdout


def test_check_names_every_fault_on_standard_error_and_exits_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each fault; standard output stays empty for a script."""
    monkeypatch.setenv("AUDIT_MODE", "lax")
    monkeypatch.setenv("AUDIT_RETENTION_DAYS", "x")

    result = run("check")

    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split()[0] for line in result.stderr.splitlines()[1:]] == [
        "AUDIT_RETENTION_DAYS",
        "AUDIT_MODE",
    ]


def test_check_prints_json_for_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults are data: key, value, problem, fix."""
    monkeypatch.setenv("AUDIT_MODE", "lax")

    result = run("check", "--json")

    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"]) == (2, False)
    assert answer["faults"][0] == {
        "key": "AUDIT_MODE",
        "value": "lax",
        "problem": 'must be "strict" or "relaxed"',
        "fix": "Correct it, or leave it out for the default strict.",
    }


def test_check_finds_a_directory_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the audit log should go is found before the start."""
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("AUDIT_LOG_DIR", "taken/audit")

    result = run("check")

    assert result.exit_code == 2
    assert "AUDIT_LOG_DIR" in result.stderr
    assert "is a file" in result.stderr


def test_a_missing_file_is_named_by_every_command(tmp_path: Path) -> None:
    """--config of nothing is wrong use wherever it is given."""
    for command in ("check", "models", "serve"):
        result = run(command, "--config", "missing.toml")

        assert result.exit_code == 2
        assert "missing.toml" in result.stderr


def test_serve_refuses_before_anything_starts(tmp_path: Path) -> None:
    """A wrong flag leaves no directory behind."""
    result = run("serve", "--port", "70000", "--workers", "0", "--host", "a b")

    assert result.exit_code == 2
    assert all(flag in result.stderr for flag in ("--port = 70000", "--workers = 0", "--host = a b"))
    assert list(tmp_path.iterdir()) == []


def test_models_lists_the_llms_one_to_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe the columns are separated by tabs; an open provider stands for all its models."""
    (tmp_path / "tristar.toml").write_text(FILE)
    monkeypatch.setenv("GROQ_API_KEY", "k-123")

    result = run("models")

    assert result.stdout.splitlines() == ["fast\tp\tm\tslow", "slow\tp\tslow\t", "groq/*\tgroq\t*\t"]


def test_models_prints_json_for_a_script() -> None:
    """Lists are under `data`."""
    result = run("models", "--json")

    assert json.loads(result.stdout) == {
        "data": [{"id": "echo", "provider": "echo", "model": "echo", "fallbacks": []}]
    }


def test_wrong_use_exits_2() -> None:
    """An unknown command or flag is wrong use, not a failed check."""
    assert run("frobnicate").exit_code == 2
    assert run("check", "--frobnicate").exit_code == 2


def run_module(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tristar", *arguments],
        env={**os.environ, **environ},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_module_is_the_command_and_shows_no_traceback(tmp_path: Path) -> None:
    """`python -m tristar` ends a wrong configuration with its faults alone."""
    done = run_module(tmp_path, "serve", TRISTAR_ADMIN_KEY="short")

    assert (done.returncode, done.stdout) == (2, "")
    assert "TRISTAR_ADMIN_KEY = (hidden, 5 characters)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """What stops the start is said with the next step, without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_module(tmp_path, "serve", "--port", str(taken.getsockname()[1]))

    assert (done.returncode, done.stdout) == (2, "")
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
