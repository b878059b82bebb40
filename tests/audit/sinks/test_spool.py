"""The log as a sink reads it."""

from pathlib import Path

import pytest
from tests.audit.bench import Bench
from tests.audit.sinks.rig import SMALL, open_rig, wait

from tristar.audit.segments import list_segments
from tristar.audit.sinks.receiver import Entry
from tristar.audit.sinks.spool import Spool, read_one
from tristar.errors import AuditCorrupt


def _all(spool: Spool, records: int = 37, size_bytes: int = 1 << 20) -> list[Entry]:
    found: list[Entry] = []
    while batch := spool.read(records, size_bytes):
        found += batch
    return found


def test_every_record_comes_once_over_closed_and_active_segments(tmp_path: Path) -> None:
    """Compressed segments and the plain one read as one log, from any number on."""
    bench = Bench(tmp_path)
    bench.write(500, options=SMALL)
    lines = bench.lines()
    spool = Spool(bench.directory, lambda: len(lines))
    whole = _all(spool)

    assert any(segment.packed for segment in list_segments(bench.directory))
    assert [entry.line for entry in whole] == lines
    assert [entry.seq for entry in whole] == list(range(len(lines)))
    for start in (1, 79, 80, 81, 250, len(lines) - 1):
        spool.seek(start)
        assert [entry.line for entry in _all(spool)] == lines[start:]
    spool.close()


def test_what_is_appended_and_compressed_meanwhile_is_read_on(tmp_path: Path) -> None:
    """A reader that holds a segment open while it is closed and compressed misses and repeats nothing."""
    with open_rig(tmp_path) as rig:
        spool, found = Spool(rig.directory, lambda: rig.writer.size), []
        for turn in range(6):
            rig.append(60, prefix=f"t{turn}-")
            found += _all(spool, records=25)
        assert wait(lambda: any(segment.packed for segment in list_segments(rig.directory)))
        found += _all(spool)
        spool.close()

    assert [entry.line for entry in found] == rig.bench.lines()[: len(found)]
    assert len(found) >= 360


def test_nothing_beyond_the_durable_records_is_handed_out(tmp_path: Path) -> None:
    """A line that might yet be undone is not delivered."""
    bench = Bench(tmp_path)
    bench.write(30)
    durable = [10]
    spool = Spool(bench.directory, lambda: durable[0])
    first = _all(spool)
    durable[0] = 20

    assert [entry.seq for entry in first] == list(range(10))
    assert [entry.seq for entry in _all(spool)] == list(range(10, 20))
    spool.close()


def test_a_batch_is_bounded_in_records_and_bytes(tmp_path: Path) -> None:
    """A record longer than the bound comes alone, and comes."""
    with open_rig(tmp_path) as rig:
        rig.append(3, prefix="small")
        rig.append(1, prefix="large", details={"text": "x" * 5000})
        rig.append(3, prefix="later")
        spool = Spool(rig.directory, lambda: rig.writer.size)
        batches = []
        while batch := spool.read(2, 1000):
            batches.append([entry.event_id for entry in batch])
        spool.close()

    assert batches == [["small0", "small1"], ["small2"], ["large0"], ["later0", "later1"], ["later2"]]


def test_records_that_retention_took_are_passed_over_and_counted(tmp_path: Path) -> None:
    """A sink that came too late goes on with the oldest record there is."""
    bench = Bench(tmp_path)
    bench.write(300, options=SMALL)
    segments = list_segments(bench.directory)
    segments[0].path.unlink()
    spool = Spool(bench.directory, lambda: len(bench.lines()) + segments[1].first)
    found = _all(spool)
    spool.close()

    assert found[0].seq == segments[1].first == spool.missed
    assert read_one(bench.directory, 0, 300) is None


def test_a_log_that_is_not_what_it_should_be_is_not_delivered(tmp_path: Path) -> None:
    """Neither a cut segment nor one whose lines were swapped goes out as if it were whole."""
    bench = Bench(tmp_path)
    bench.write(40)
    (segment,) = list_segments(bench.directory)
    lines = segment.path.read_bytes().splitlines(keepends=True)
    segment.path.write_bytes(b"".join(lines[:20]))
    spool = Spool(bench.directory, lambda: 40)
    with pytest.raises(AuditCorrupt, match="record 20 is not in the log"):
        _all(spool, records=100)
    segment.path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    spool.seek(0)
    with pytest.raises(AuditCorrupt, match="record 0 is not where it should be"):
        spool.read(1, 1000)
    spool.close()


def test_an_empty_log_has_nothing_to_deliver(tmp_path: Path) -> None:
    """Nor is it a fault."""
    with open_rig(tmp_path) as rig:
        assert Spool(rig.directory, lambda: rig.writer.size).read(10, 1000) == []
