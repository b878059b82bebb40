"""A repository root of a test's own: `app` as it is, everything else the test's."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.gateway.process import SOURCE
from tests.guide.page import ROOT


def make_checkout(folder: Path) -> Path:
    """Copy `app` into the folder, so that what is started there finds it as at the real root."""
    shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_python(script: str, folder: Path, **environment: str) -> str:
    """What a program in this folder prints, its own environment alone; fails if it fails or warns."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def in_async_function(snippet: str) -> str:
    """A program that runs the lines inside an async function, `datetime` imported."""
    head = "import asyncio\nfrom datetime import datetime, timedelta\nasync def main():\n"
    return head + textwrap.indent(snippet, "    ") + "\nasyncio.run(main())\n"
