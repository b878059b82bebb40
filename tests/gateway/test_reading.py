"""What the fixtures read of a gateway: its scrape, its log, and whether the two agree."""

import json
from pathlib import Path

import pytest
import zstandard
from tests.gateway import read_records
from tests.gateway.books import imbalances
from tests.gateway.records import Record
from tests.gateway.scrape import Scrape
from tests.gateway.toml import document, llm, provider

EXPOSITION = """\
# HELP ailinux_request_count HTTP requests
# TYPE ailinux_request_count counter
ailinux_request_count{endpoint="/v1/chat/completions",method="POST",status="200"} 2.0
ailinux_request_count{endpoint="/v1/models",method="GET",status="200"} 1.0
ailinux_request_count{endpoint="/health/ready",method="GET",status="200"} 9.0
# TYPE ailinux_llm_calls_total counter
ailinux_llm_calls_total{model="m",provider="p",status="success"} 2.0
ailinux_llm_calls_total{model="m",provider="p",status="error"} 1.0
# TYPE ailinux_llm_tokens_total counter
ailinux_llm_tokens_total{model="m",provider="p",type="input"} 22.0
ailinux_llm_tokens_total{model="m",provider="p",type="output"} 12.0
# TYPE ailinux_active_connections gauge
ailinux_active_connections 0.0
"""


def record(seq: int, action: str = "llm_call", worker: str = "w-1", *statuses: str) -> Record:
    """A terminal record with one attempt per status; the successful ones count tokens."""
    tokens = {"success": {"tokens_input": 11, "tokens_output": 6}}
    attempts = [{"model": "m", "provider": "p", "status": each} | tokens.get(each, {}) for each in statuses]
    fields = {
        "seq": seq,
        "event_id": f"e{seq}",
        "action": action,
        "status": 200,
        "worker": worker,
        "details": {"attempts": attempts},
    }
    return Record(json.dumps(fields).encode(), fields)


BALANCED = [
    record(1, "llm_call", "w", "success"),
    record(2, "llm_call", "w", "error", "success"),
    record(3, "request"),
]


def test_balanced_books_show_no_fault() -> None:
    """Requests, attempts and tokens agree; /health is not audited."""
    assert imbalances(Scrape(EXPOSITION), BALANCED) == []


@pytest.mark.parametrize(
    ("records", "named"),
    [
        (BALANCED[:2], "requests"),
        ([*BALANCED, record(4, "request")], "requests"),
        ([*BALANCED[1:], record(1, "llm_call", "w", "timeout")], "attempts"),
        ([*BALANCED[1:], record(1, "llm_call", "w")], "tokens"),
        ([*BALANCED[1:], BALANCED[1]], "event e2 has 2 terminal records"),
    ],
)
def test_any_difference_is_named(records: list[Record], named: str) -> None:
    """A missing, an added, an altered, a doubled record."""
    assert any(fault.startswith(named) for fault in imbalances(Scrape(EXPOSITION), records))


def test_library_records_are_kept_out_of_the_books() -> None:
    """What a program that imports the library writes is no request."""
    assert imbalances(Scrape(EXPOSITION), [*BALANCED, record(4, "request", "library-7")]) == []


def test_what_a_gap_counts_is_not_missing() -> None:
    """Requests agree in total; attempts and tokens may be missing from the log only."""
    gap = Record(
        b"", {"seq": 9, "event_id": "g", "action": "audit_gap", "worker": "w", "details": {"requests": 1}}
    )

    assert imbalances(Scrape(EXPOSITION), [*BALANCED[1:], gap]) == []
    assert imbalances(Scrape(EXPOSITION), [*BALANCED, gap]) != []


def test_a_request_in_progress_is_named() -> None:
    """At the end of a test none should be."""
    text = EXPOSITION.replace("ailinux_active_connections 0.0", "ailinux_active_connections 1.0")

    assert any("active_connections" in fault for fault in imbalances(Scrape(text), BALANCED))


def test_records_are_read_from_open_and_closed_segments_in_order(tmp_path: Path) -> None:
    """Plain and compressed; a torn last line is left out."""
    segments = tmp_path / "segments"
    segments.mkdir()
    lines = [record(seq).line + b"\n" for seq in range(4)]
    (segments / "000.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines[:2])))
    (segments / "002.jsonl").write_bytes(b"".join(lines[2:]) + b'{"seq": 4')

    assert [found["seq"] for found in read_records(tmp_path)] == [0, 1, 2, 3]


def test_a_counter_that_falls_or_vanishes_is_named() -> None:
    """Gauges may fall."""
    later = EXPOSITION.replace('status="error"} 1.0', 'status="error"} 0.0').replace(
        'ailinux_llm_tokens_total{model="m",provider="p",type="input"} 22.0\n', ""
    )

    assert len(Scrape(later).fell_since(Scrape(EXPOSITION))) == 2
    assert Scrape(EXPOSITION).fell_since(Scrape(EXPOSITION)) == []


def test_values_are_summed_over_the_labels_that_were_not_asked_for() -> None:
    """As PromQL's sum would."""
    scrape = Scrape(EXPOSITION)

    assert scrape.value("ailinux_llm_calls_total", model="m") == 3
    assert scrape.value("ailinux_llm_calls_total", status="timeout") == 0
    assert scrape.by("ailinux_llm_calls_total", "status") == {("success",): 2, ("error",): 1}


def test_the_configuration_is_written_as_toml() -> None:
    """Names with a slash or a dot stay one name."""
    text = document(
        provider("p", "http://x/v1"), llm("p/m.1", "p", breaker={"failures": 2}, retries=0, fallbacks=["b"])
    )

    assert '[llms."p/m.1"]' in text
    assert '[llms."p/m.1".breaker]\nfailures = 2' in text
    assert 'fallbacks = ["b"]' in text
