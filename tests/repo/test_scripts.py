"""The scripts behind the Makefile, where a machine lacks something."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the scripts and locks alone, and an empty folder of commands."""
    here = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", here / "scripts")
    shutil.copytree(ROOT / "requirements", here / "requirements")
    shutil.copy(ROOT / "pyproject.toml", here)
    (here / "bin").mkdir()
    return here


def command(checkout: Path, name: str, body: str) -> Path:
    """A command that stands before the machine's own."""
    path = checkout / "bin" / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def run(
    checkout: Path, script: str, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """One script of the checkout."""
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        [checkout / "scripts" / script, *arguments],
        env={**os.environ, "PATH": path, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_python_without_venv_is_told_its_package(checkout: Path) -> None:
    """Debian keeps venv apart: the message is the apt line."""
    python = command(
        checkout,
        "python-without-venv",
        'case "$2" in "import venv"*) exit 1 ;; "import sys; print"*) echo 3.11 ;; *) exit 0 ;; esac',
    )

    done = run(checkout, "venv", "run", environ={"PYTHON": str(python)})

    assert done.returncode == 1
    assert "sudo apt-get install python3.11-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_too_old_is_named(checkout: Path) -> None:
    """Below 3.11 nothing is made."""
    python = command(checkout, "old-python", "exit 1")

    done = run(checkout, "venv", "run", environ={"PYTHON": str(python)})

    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr


def test_nothing_is_installed_where_everything_is_there(checkout: Path) -> None:
    """The packages are asked for by what they bring, so a present one costs nothing."""
    command(checkout, "apt-get", "echo called >&2; exit 1")
    (checkout / "scripts/apt-needs.txt").write_text("# comment\n\nsh dash\n/bin/s* dash\n", encoding="utf-8")

    done = run(checkout, "apt-needs")

    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_right_to_install_the_one_line_is_printed(checkout: Path) -> None:
    """No root and no passwordless sudo: the operator gets one line to run, and the tests do not start."""
    command(checkout, "id", "echo 1000")
    command(checkout, "sudo", "exit 1")
    (checkout / "scripts/apt-needs.txt").write_text(
        "no-such-command one-package one-unit\nno-such-other one-package\n/no/such/* two-package\n",
        encoding="utf-8",
    )

    done = run(checkout, "apt-needs")

    assert done.returncode == 1
    assert "sudo apt-get install --no-install-recommends one-package two-package\n" in done.stderr


def parts(checkout: Path, npm: str) -> subprocess.CompletedProcess[str]:
    """The script that fetches the console's parts, with this npm."""
    command(checkout, "npm", npm)
    return run(checkout, "console-parts")


def test_the_parts_of_the_console_are_fetched_once(checkout: Path) -> None:
    """By the machine's npm, from the lock file; what is there already costs nothing."""
    dist = "node_modules/uplot/dist"
    npm = (
        "case $1 in --version) echo 10.0.0 ;; *) test -f package-lock.json || exit 9; "
        f"mkdir -p {dist}; touch {dist}/uPlot.esm.js {dist}/uPlot.min.css {dist}/../LICENSE ;; esac"
    )
    first = parts(checkout, npm)
    again = parts(checkout, "exit 1")
    folder = checkout / "src/tristar/edge/static/parts"

    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "uPlot.LICENSE.txt",
        "uPlot.esm.js",
        "uPlot.min.css",
    }


def test_parts_that_cannot_be_fetched_leave_nothing_half_done(checkout: Path) -> None:
    """The script fails, for set-up to decide; the next try begins anew."""
    done = parts(checkout, "case $1 in --version) echo 10.0.0 ;; *) echo no network >&2; exit 1 ;; esac")

    assert done.returncode != 0
    assert "no network" in done.stderr
    assert not (checkout / "src/tristar/edge/static/parts").exists()
