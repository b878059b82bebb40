"""Columns are derived from the lines, made anew when missing or stale, and gone with their segment."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.audit.specimens import FIELDS, line, lines, record, scribe

from tristar.audit import columns, parquet
from tristar.audit.columns import COLUMNS, plan
from tristar.audit.options import WriterOptions
from tristar.audit.query import query
from tristar.audit.question import Question
from tristar.audit.reader import Snapshot
from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter
from tristar.clock import ManualClock
from tristar.errors import AuditCorrupt


def write(folder: Path, count: int, *, segment_bytes: int = 4000, clock: ManualClock | None = None) -> Path:
    """A log by the real writer, in segments of about ten records; the last one is active."""
    directory, clock = folder / "audit", clock or ManualClock()
    pen = scribe(clock)
    writer = AuditWriter.open(
        directory,
        options=WriterOptions(max_segment_bytes=segment_bytes, retention_days=30),
        signer=Signer.load_or_create(folder / "data"),
        clock=clock,
        on_commit=lambda _tokens, _error: None,
        internal=pen.internal,
    )
    for number in range(count):
        writer.append(
            pen.event("order_seen", f"/orders/{number}", details={"n": number}, trace_id=f"t{number}")
        )
        if number % 10 == 9:
            _settle(writer, number)
    writer.close()
    return directory


def _settle(writer: AuditWriter, number: int) -> None:
    while writer.size <= number:
        time.sleep(0.001)


def everything(directory: Path) -> list[dict[str, Any]]:
    """What a question for everything is answered, oldest first."""
    return query(directory, Question(limit=100_000, newest_first=False))


def raw(directory: Path) -> list[dict[str, Any]]:
    """The lines themselves, read as JSON."""
    return [json.loads(each) for each in Snapshot.take(directory).lines()]


def test_every_field_of_a_record_has_a_column() -> None:
    """In their order. A new field takes a new `VERSION`, so that old files are made anew."""
    assert list(COLUMNS) == [*FIELDS, "sealed"]


def test_answers_are_the_same_with_and_without_columns(tmp_path: Path) -> None:
    """To the last field: a question cannot tell where its answer came from."""
    directory = write(tmp_path, 100)
    expected = raw(directory)
    without = everything(directory)
    made = parquet.build(directory)
    with_columns = everything(directory)

    assert made >= 3
    assert without == with_columns == expected
    assert [list(each) for each in with_columns] == [FIELDS] * len(expected)


def test_odd_values_come_back_as_they_are(tmp_path: Path) -> None:
    """Big numbers, NUL, emoji, quotes, empty and nested details."""
    odd: list[Any] = [
        {"big": 2**70, "small": -1e-300, "float": 0.1, "nul": "a\0b", "quote": "\"\\'", "emoji": "😀"},
        {}, {"list": [1, [2, {"x": None}]], "": "empty name", "true": True}, {"text": "x" * 30_000},
    ]  # fmt: skip
    folder = tmp_path / "segments"
    folder.mkdir()
    content = [
        line(
            scribe().event("x", "/", details=each, user_id="a'b\"c😀", duration_ms=0.1 + 0.2, status=200), seq
        )
        for seq, each in enumerate(odd)
    ]
    (folder / f"{0:020d}.jsonl").write_bytes(b"".join(content))

    assert everything(tmp_path) == [json.loads(each) for each in content]


def test_missing_and_stale_columns_are_made_anew_and_foreign_ones_removed(tmp_path: Path) -> None:
    """A file's name says which lines it was made of."""
    directory = write(tmp_path, 60)
    parquet.build(directory)
    files = sorted((directory / "parquet").iterdir())
    stale = files[0].rename(files[0].with_name(f"{0:020d}.{'0' * 16}.v1.parquet"))
    orphan = directory / "parquet" / f"{10**6:020d}.{'1' * 16}.v1.parquet"
    orphan.write_bytes(files[1].read_bytes())
    files[2].unlink()
    assert len(columns.missing(directory)) == 2

    assert parquet.build(directory) == 2
    assert sorted((directory / "parquet").iterdir()) == files
    assert not stale.exists()
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert columns.missing(directory) == columns.lacking(directory) == frozenset()


def test_the_active_segment_has_no_columns(tmp_path: Path) -> None:
    """It is read as it is, up to its last whole line."""
    directory = write(tmp_path, 25)
    parquet.build(directory)
    last = plan(directory)[-1]

    assert last.columns is None
    assert not last.closed
    assert everything(directory) == raw(directory)


def test_columns_are_deleted_with_their_segment(tmp_path: Path) -> None:
    """By retention itself, when it deletes the lines."""
    clock = ManualClock()
    directory = write(tmp_path, 60, clock=clock)
    parquet.build(directory)
    assert len(list((directory / "parquet").iterdir())) >= 2
    clock.advance(40 * 86_400)
    write(tmp_path, 1, clock=clock)
    kept = {part.segment.first_seq for part in plan(directory)}

    assert {int(path.name[:20]) for path in (directory / "parquet").iterdir()} <= kept


def test_a_damaged_segment_has_no_columns_and_is_named(tmp_path: Path) -> None:
    """The others have theirs; a question that reads the damage says so."""
    directory = write(tmp_path, 60)
    damaged = plan(directory)[1].segment.path
    damaged.write_bytes(damaged.read_bytes()[:-40])

    with pytest.raises(AuditCorrupt, match=damaged.name):
        parquet.build(directory)
    with pytest.raises(AuditCorrupt, match="tristar audit verify"):
        everything(directory)
    assert len(columns.missing(directory)) == 1


@pytest.mark.parametrize("built", [True, False])
def test_one_trace_is_found_among_many(tmp_path: Path, built: bool) -> None:
    """In closed and active segments alike."""
    directory = write(tmp_path, 100)
    if built:
        parquet.build(directory)
    chosen = random.Random(7).sample(range(100), 5)

    for number in (*chosen, 99):
        (found,) = query(directory, Question(trace_id=f"t{number}"))
        assert found["details"] == {"n": number}
    assert query(directory, Question(trace_id="nobody")) == []


def test_pages_go_on_by_sequence_number(tmp_path: Path) -> None:
    """Newest first before a number, oldest first after one; each record once."""
    content = lines(30)
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / f"{0:020d}.jsonl").write_bytes(b"".join(content))
    older = query(tmp_path, Question(limit=3, before_seq=10))
    newer = query(tmp_path, Question(limit=3, after_seq=10, newest_first=False))

    assert [each["seq"] for each in older] == [9, 8, 7]
    assert [each["seq"] for each in newer] == [11, 12, 13]
    assert record(scribe().event("x", "/"), 0)["seq"] == 0
