"""`make bench-report`: the tables in README.md and docs/performance.md, from benchmarks/results.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
ROWS = {
    "nginx": "nginx as a plain proxy",
    "relaxed": "TriStar, `AUDIT_MODE=relaxed`",
    "strict": "TriStar, `AUDIT_MODE=strict`",
    "portkey": "Portkey {portkey}, without keys, limits or metrics",
    "litellm": "LiteLLM {litellm}, with a key",
    "litellm, prometheus": "LiteLLM {litellm}, with a key and Prometheus",
}

Row = Mapping[str, Any]
_Columns = Mapping[str, tuple[str, int]]

_COSTS: _Columns = {
    "req/s": ("req_per_s", 0),
    "p50 ms": ("p50_ms", 2),
    "p99 ms": ("p99_ms", 2),
    "CPU us": ("cpu_us", 0),
    "largest process, MB": ("resident_mb", 0),
    "all processes, shared pages once, MB": ("proportional_mb", 0),
    "start to ready, s": ("ready_s", 2),
}
_STREAMS: _Columns = {
    "p99 late, ms": ("late_p99_ms", 1),
    "worst late, ms": ("late_worst_ms", 1),
    "worst without scrapes, ms": ("without_late_worst_ms", 1),
    "widest gap, ms": ("widest_gap_ms", 1),
    "one scrape, ms": ("scrape_ms", 1),
    "lines": ("lines", 0),
    "KB each": ("kb_each", 1),
    "grown by, MB": ("grown_mb", 1),
    "MB": ("resident_mb", 0),
}


def write(results: Row) -> None:
    """Bring the tables of each page up to date."""
    for page in PAGES:
        page.write_text(rendered(page.read_text(), results))


def rendered(text: str, results: Row) -> str:
    """The page with its tables in place of what stands between `<!-- NAME -->` and `<!-- end NAME -->`."""
    for name, table in (("speed", _speed(results)), ("costs", _costs(results)), ("scale", _scale(results))):
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        if begin in text:
            before, _, rest = text.partition(begin)
            text = before + begin + table + end + rest.partition(end)[2]
    return text


def _speed(results: Row) -> str:
    direct = results["json"]["direct"]["1"]
    best = results["json"]["relaxed"]["64"]["req_per_s"]
    best_stream = results["sse"]["relaxed"]["64"]["req_per_s"]
    rows = []
    for title, row, stream in _rivals(results):
        one, rate, streams = row["1"], row["64"]["req_per_s"], stream["64"]["req_per_s"]
        added = " / ".join(f"{one[name] - direct[name]:.2f}" for name in ("p50_ms", "p99_ms"))
        rows.append(
            [
                title,
                f"{rate:,.0f}",
                _times(best / rate),
                f"{row['16']['req_per_s']:,.0f}",
                added,
                f"{streams:,.0f}",
                _times(best_stream / streams),
            ]
        )
    head = ["", "req/s, 64 clients", "relaxed TriStar has", "req/s, 16"]
    head += ["added to direct, 1 client: p50 / p99 ms", "50 real SSE chunks, 64 clients: streams/s"]
    return _table([*head, "relaxed TriStar has"], rows)


def _costs(results: Row) -> str:
    rows = []
    best = results["json"]["nginx"]["64"]["req_per_s"]
    for title, row, stream in _rivals(results):
        cell, resident = row["64"], row.get("memory_mb", {}).get("largest_resident", row.get("resident_mb"))
        share = f"1/{best / cell['req_per_s']:,.1f}"
        memory = f"{resident:,.0f}" if resident else ""
        rows.append([title, f"{cell['cpu_us']:,.0f}", share, f"{stream['64']['cpu_us']:,.0f}", memory])
    head = ["", "CPU us per request, 64 clients", "share of nginx's rate", "CPU us per stream", "resident MB"]
    return _table(head, rows) + "\n" + _rows(results.get("more", {}), _COSTS)


def _scale(results: Row) -> str:
    found: Mapping[str, Row] = results.get("scale", {})
    costs = {name: row for name, row in found.items() if "req_per_s" in row}
    streams = {name: row for name, row in found.items() if name not in costs}
    return _rows(costs, _COSTS) + "\n" + _rows(streams, _STREAMS) if found else ""


def _rivals(results: Row) -> Sequence[tuple[str, Row, Row]]:
    """Title, JSON row and stream row of each that was measured."""
    peers = results.get("peers", {"versions": {}, "json": {}, "sse": {}})
    whole, streams = results["json"] | peers["json"], results["sse"] | peers["sse"]
    return [
        (title.format(**peers["versions"]), whole[name], streams[name])
        for name, title in ROWS.items()
        if name in whole
    ]


def _times(ratio: float) -> str:
    """How much more the one has than the other, in words that survive a ratio under one."""
    if 0.95 < ratio < 1.05:
        return "as much"
    return f"{ratio:,.1f} times as much" if ratio > 1 else f"1/{1 / ratio:,.1f}"


def _rows(rows: Mapping[str, Row], columns: _Columns) -> str:
    """One line for each row, a column for each figure that any of them has."""
    used = {head: shown for head, shown in columns.items() if any(shown[0] in row for row in rows.values())}
    cells = [
        [name, *(f"{row[key]:,.{digits}f}" if key in row else "" for key, digits in used.values())]
        for name, row in rows.items()
    ]
    return _table(["", *used], cells) if rows else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells) + "\n"

    return line(head) + "|" + "---|" * len(head) + "\n" + "".join(map(line, rows))


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
