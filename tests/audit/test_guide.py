"""The monitoring guide's own lines, run as they stand, against the real log."""

import gzip
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SNIPPET = """
from app.utils.audit_enhanced import enhanced_audit_logger

# Export der letzten 7 Tage
await enhanced_audit_logger.export_for_siem(
    output_path="export/audit_export.jsonl",
    compress=True,
    since=datetime.now() - timedelta(days=7)
)
"""
"""As in the guide, with `datetime` imported and inside an async function."""


def run(body: str, directory: Path) -> list[str]:
    """What an async function with this body prints, in a program of its own; its lines."""
    script = "import asyncio, json\nfrom datetime import datetime, timedelta\nasync def main():\n"
    script += textwrap.indent(body, "    ") + "\nasyncio.run(main())\n"
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "TRISTAR_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=directory,
        env=inherited | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def exported(path: Path) -> list[dict[str, object]]:
    """The records of a gzipped export."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_guides_snippet_runs_as_it_is(tmp_path: Path) -> None:
    """Also before anything was ever logged: an empty export under the real name."""
    run(SNIPPET, tmp_path)

    assert exported(tmp_path / "export" / "audit_export.jsonl.gz") == []
    assert not (tmp_path / "logs").exists()


def test_thousand_records_are_exported_in_order(tmp_path: Path) -> None:
    """Logged by one program, exported by the guide's lines in another."""
    log = """
from app.utils.audit_enhanced import enhanced_audit_logger as log
for start in range(0, 1000, 100):
    await asyncio.gather(*(log.log("INFO", "counted", "/n", {"n": n}) for n in range(start, start + 100)))
"""
    run(log, tmp_path)
    run(SNIPPET, tmp_path)

    records = exported(tmp_path / "export" / "audit_export.jsonl.gz")
    mine = [record for record in records if record["action"] == "counted"]
    assert len(mine) == 1000
    assert [record["seq"] for record in records] == list(range(len(records)))
    assert list(records[0])[:5] == ["timestamp", "trace_id", "action", "resource", "log_level"]


@pytest.mark.parametrize("way", ["threads", "loops", "instances", "fork"])
def test_every_way_of_sharing_keeps_every_record(tmp_path: Path, way: str) -> None:
    """Threads with loops of their own, one loop after another, two instances at once, a forked child."""
    ways = {
        "threads": """
async def ten(): [await log.log("INFO", "counted", "/") for _ in range(10)]
await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(ten())) for _ in range(3)))
""",
        "loops": """
async def ten(): [await log.log("INFO", "counted", "/") for _ in range(10)]
for _ in range(3): await asyncio.to_thread(lambda: asyncio.run(ten()))
""",
        "instances": """
from app.utils.audit_enhanced import EnhancedAuditLogger, _place
logs = [log, EnhancedAuditLogger(_place), EnhancedAuditLogger(_place)]
await asyncio.gather(*(each.log("INFO", "counted", "/") for each in logs for _ in range(10)))
for each in logs: await each.aclose()
""",
        "fork": """
import os
async def ten(): [await log.log("INFO", "counted", "/") for _ in range(10)]
await ten()
def child():
    pid = os.fork()
    if pid: return os.waitpid(pid, 0)[1]
    asyncio.run(ten()); log.close(); os._exit(0)
assert [await asyncio.to_thread(child) for _ in range(2)] == [0, 0]
""",
    }
    start = "from app.utils.audit_enhanced import enhanced_audit_logger as log\n"
    end = """
found = await log.query(limit=1000)
print(sum(r["action"] == "counted" for r in found), len({r["seq"] for r in found}) == len(found))
"""

    (counts,) = run(start + ways[way].strip() + end, tmp_path)

    assert counts == "30 True"
