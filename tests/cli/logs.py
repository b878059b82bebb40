"""Commands run in this process, in an empty directory, on logs that the library has written."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tristar.audit.logger import EnhancedAuditLogger
from tristar.audit.logger import Place as LogPlace
from tristar.cli.root import app
from tristar.settings.table import VARIABLES

AUDIT, DATA = Path("logs/audit"), Path("data")


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in this directory, with none of the gateway's variables set."""
    monkeypatch.chdir(folder)
    for row in VARIABLES:
        monkeypatch.delenv(row.name, raising=False)


def run(*arguments: str) -> Result:
    """One command, in this process; an error that is no exit is the test's own failure."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def write(*actions: str) -> None:
    """Let a program that imports the library record these in the log here, one after the other."""

    async def log() -> None:
        logger = EnhancedAuditLogger(lambda: LogPlace(AUDIT.absolute(), DATA.absolute()))
        for at, action in enumerate(actions):
            await logger.log("INFO", action, f"/orders/{at}", user_id="anna", trace_id=f"trace-{at}")
        await logger.aclose()

    asyncio.run(log())


def records() -> list[dict[str, Any]]:
    """The log here, as it lies on disk; there is one segment."""
    (segment,) = (AUDIT / "segments").glob("*.jsonl")
    return [json.loads(line) for line in segment.read_bytes().rstrip(b"\0").splitlines()]


def content() -> dict[str, bytes]:
    """Every file here and what it holds."""
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}
