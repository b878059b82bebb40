"""The figures in the documents are those of the last benchmark."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import peers
from benchmarks.report import PAGES, RESULTS, rendered

TABLES = "".join(f"<!-- {name} -->\n<!-- end {name} -->\n" for name in ("speed", "costs", "scale"))


def cell(rate: float, **more: float) -> dict[str, float]:
    """What was measured with one number of clients."""
    return {"req_per_s": rate, "p50_ms": 1.5, "p99_ms": 2.5, "cpu_us": 1e6 / rate, **more}


def row(rate: float) -> dict[str, dict[str, float]]:
    """The same with every number of clients."""
    return {clients: cell(rate) for clients in ("1", "16", "64")}


def results() -> dict[str, Any]:
    """A run of everything, in round figures."""
    ours = {"direct": row(80_000), "nginx": row(80_000), "relaxed": row(10_000), "strict": row(8_000)}
    return {
        "json": ours,
        "sse": ours,
        "more": {"relaxed, 2 workers": cell(19_000, resident_mb=120.4)},
        "peers": {
            "versions": peers.versions(),
            "json": {"portkey": row(1_000) | {"resident_mb": 200.0}},
            "sse": {"portkey": row(400)},
        },
        "scale": {"relaxed, 100,000 keys": cell(9_900), "10,000 idle streams": {"kb_each": 19.3}},
    }


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_the_tables_are_those_of_the_results(page: Path) -> None:
    """Nobody typed them: `make bench-report` changes nothing."""
    text = page.read_text()

    assert "<!-- speed -->" in text
    assert rendered(text, json.loads(RESULTS.read_text())) == text


def test_peers_stand_in_the_tables_with_their_versions_and_ratios() -> None:
    """Ten times Portkey's rate, 25 times its streams, an eighth of nginx."""
    lines = rendered(TABLES, results()).splitlines()
    (portkey, costs) = [line for line in lines if line.startswith("| Portkey 1.15.2")]
    nginx = next(line for line in lines if line.startswith("| nginx"))

    assert portkey.count("10.0 times as much") == 1
    assert portkey.endswith("| 400 | 25.0 times as much |")
    assert "| 1/80.0 |" in costs
    assert costs.endswith("| 200 |")
    assert "| 80,000 | 1/8.0 |" in nginx


def test_each_table_has_the_columns_that_its_rows_need() -> None:
    """Costs of requests and of open streams are told apart, and no row has a cell too many."""
    text = rendered(TABLES, results())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables = [table.strip().splitlines() for table in text.replace("-->", "-->\n").split("\n\n")]
    widths = [{line.count("|") for line in table if line.startswith("|")} for table in tables]

    assert "| 10,000 idle streams | 19.3 |" in lines
    assert any(line.startswith("| relaxed, 100,000 keys | 9,900 |") for line in lines)
    assert all(len(width) <= 1 for width in widths)


def test_peers_are_pinned_with_hashes_and_no_addresses() -> None:
    """What is compared is what was compared; where it comes from is the user's own configuration."""
    litellm = (peers.LOCKS / "litellm.lock").read_text()
    packages = json.loads((peers.LOCKS / "portkey" / "package-lock.json").read_text())["packages"]
    installed = {name: entry for name, entry in packages.items() if name}

    assert litellm.count("==") <= litellm.count("--hash=sha256:")
    assert "://" not in litellm
    assert all("integrity" in entry and "resolved" not in entry for entry in installed.values())
