"""`make bench-report`: the tables in README.md and docs/performance.md, from benchmarks/results.json."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
ROWS = {
    "nginx": "nginx as a plain proxy",
    "relaxed": "TriStar, `AUDIT_MODE=relaxed`",
    "strict": "TriStar, `AUDIT_MODE=strict`",
}


def write(results: dict[str, Any]) -> None:
    """Bring the tables of each page up to date."""
    for page in PAGES:
        page.write_text(rendered(page.read_text(), results))


def rendered(text: str, results: dict[str, Any]) -> str:
    """The page with its tables in place of what stands between `<!-- NAME -->` and `<!-- end NAME -->`."""
    for name, table in (("speed", _speed(results)), ("costs", _costs(results))):
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + table + end + rest.partition(end)[2]
    return text


def _speed(results: dict[str, Any]) -> str:
    head = "| | req/s, 64 clients | req/s, 16 | added to direct, 1 client: p50 / p99 ms "
    lines = [head + "| 50 real SSE chunks, 64 clients: streams/s |", "|---|---|---|---|---|"]
    for name, title in ROWS.items():
        row, stream = results["json"][name], results["sse"][name]["64"]
        one = row["1"]
        lines.append(
            f"| {title} | {row['64']['req_per_s']:,.0f} | {row['16']['req_per_s']:,.0f} "
            f"| {one['added_p50_ms']:.2f} / {one['added_p99_ms']:.2f} | {stream['req_per_s']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def _costs(results: dict[str, Any]) -> str:
    lines = [
        "| | CPU us per request, 64 clients | share of nginx's rate | CPU us per stream |",
        "|---|---|---|---|",
    ]
    best = results["json"]["nginx"]["64"]["req_per_s"]
    for name, title in ROWS.items():
        cell, stream = results["json"][name]["64"], results["sse"][name]["64"]
        share = cell["req_per_s"] / best
        lines.append(f"| {title} | {cell['cpu_us']:.0f} | 1/{1 / share:.1f} | {stream['cpu_us']:.0f} |")
    extra = results.get("more", {})
    if extra:
        lines += [
            "",
            "| further rows | req/s | p50 ms | p99 ms | CPU us | resident MB |",
            "|---|---|---|---|---|---|",
        ]
    for name, cell in extra.items():
        shown = [f"{cell[key]:,.{digits}f}" if key in cell else "" for key, digits in _COLUMNS]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


_COLUMNS = (("req_per_s", 0), ("p50_ms", 2), ("p99_ms", 2), ("cpu_us", 0), ("resident_mb", 0))


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
