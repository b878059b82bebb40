"""The table of docs/scaling.md, from benchmarks/stores.json."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"<!-- stores -->\n.*?<!-- end stores -->", re.DOTALL)


def page() -> str:
    """docs/scaling.md with the figures of the last measurement in it."""
    found = json.loads((ROOT / "benchmarks/stores.json").read_text(encoding="utf-8"))
    rest = found["at_rest"]
    rows = [
        "| | Redis: scripts | Redis: commands, those in scripts counted | PostgreSQL: transactions |",
        "|---|---|---|---|",
    ]
    rows.append(
        f"| at rest, per second | {rest['redis_scripts_per_s']:.1f} | {rest['redis_commands_per_s']:.0f} "
        f"| {rest['postgres_transactions_per_s']:.1f} |"
    )
    for name, case in found["cases"].items():
        rows.append(
            f"| {name}, per 1,000 requests | {case['redis_scripts_per_1000_requests']:,.0f} "
            f"| {case['redis_commands_per_1000_requests']:,.0f} "
            f"| {case['postgres_transactions_per_1000_requests']:.1f} |"
        )
    table = "\n".join(rows)
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    return _BLOCK.sub(f"<!-- stores -->\n{table}\n<!-- end stores -->", text)
