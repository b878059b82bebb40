"""What is deleted, when, and what stops it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.bench import Bench, Own, draft

from tristar.audit.proof import check_proof, prove
from tristar.audit.retention import Hold, hold, list_holds, release_hold
from tristar.audit.segments import list_segments
from tristar.audit.sinks.cursor import Cursor, CursorFile, floor, release_others
from tristar.audit.verify import verify
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.errors import AuditCorrupt

_OPTIONS = WriterOptions(max_segment_bytes=20_000, publish_s=0.02, reserve_bytes=4096, retention_days=30)
_DAY_S = 86_400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A log of several segments, then forty days without a record."""
    bench = Bench(tmp_path)
    bench.write(500, options=_OPTIONS)
    bench.clock.advance(40 * _DAY_S)
    return bench


def _wait(condition: Callable[[], bool]) -> bool:
    """Whether it became true within ten seconds of the keeper's work."""
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return True
        pause.wait(0.02)
    return False


def _run(bench: Bench, until: Callable[[AuditWriter], bool]) -> bool:
    writer = bench.open(_OPTIONS)
    reached = _wait(lambda: until(writer))
    writer.close()
    return reached


def _first(bench: Bench) -> int:
    return list_segments(bench.directory)[0].first


def test_expired_segments_go_and_the_record_of_it_stays(bench: Bench) -> None:
    """Only whole closed segments, with a record of range, hash and root; verification and proofs still
    hold."""
    active = list_segments(bench.directory)[-1].first
    assert _run(bench, lambda _: _first(bench) >= active)
    record = [r for r in bench.records() if r["action"] == "audit_retention"][-1]
    report = verify(bench.directory, bench.signer.verifier)

    assert str([[0, _first(bench)]]) in str(record["details"])
    assert [str(fault) for fault in report.faults] == []
    assert "deleted by retention" in report.notices[0]
    assert check_proof(prove(bench.directory, 3), bench.signer.verifier) == []


def test_a_deletion_that_nobody_recorded_is_found(bench: Bench) -> None:
    """After retention took some, removing one more still shows: at the start and in verification."""
    active = list_segments(bench.directory)[-1].first
    assert _run(bench, lambda _: _first(bench) >= active)
    bench.write(300, prefix="more", options=_OPTIONS)
    list_segments(bench.directory)[1].path.unlink()

    assert not verify(bench.directory, bench.signer.verifier).ok
    with pytest.raises(AuditCorrupt):
        bench.open(_OPTIONS)


def test_touching_files_changes_nothing(tmp_path: Path) -> None:
    """Age is the records', not the files'."""
    bench = Bench(tmp_path)
    bench.write(500, options=_OPTIONS)
    for segment in list_segments(bench.directory):
        os.utime(segment.path, (0, 0))
    bench.clock.advance(20 * _DAY_S)
    before = len(list_segments(bench.directory))
    writer = bench.open(_OPTIONS)
    writer.append(draft("x"), "x")
    bench.fates.wait(501)
    writer.close()

    assert len(list_segments(bench.directory)) >= before


def test_a_hold_keeps_what_it_covers(bench: Bench) -> None:
    """Until it is released; a hold of another time holds nothing."""
    hold(bench.directory, Hold(name="case-7", reason="inquiry"))
    assert _run(bench, lambda writer: writer.health().durable_seq > 0)
    assert _first(bench) == 0
    release_hold(bench.directory, "case-7")
    hold(bench.directory, Hold(name="later", reason="inquiry", since="2030-01-01T00:00:00.000000Z"))

    assert _run(bench, lambda _: _first(bench) > 0)
    assert [found.name for found in list_holds(bench.directory)] == ["later"]


def test_a_hold_that_cannot_be_read_holds_everything(bench: Bench) -> None:
    """Better kept than lost."""
    hold(bench.directory, Hold(name="case-7", reason="inquiry")).write_bytes(b"garbage")
    assert _run(bench, lambda writer: writer.health().durable_seq > 0)

    assert _first(bench) == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_a_hold_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """A name is a name, not a path."""
    with pytest.raises(ValueError, match="name"):
        hold(tmp_path, Hold(name=name, reason="r"))


def test_a_sink_that_lags_keeps_what_it_still_needs(bench: Bench) -> None:
    """Nothing at or behind a mandatory sink's cursor is deleted."""
    floor = list_segments(bench.directory)[1].first
    writer = AuditWriter.open(
        bench.directory,
        options=_OPTIONS,
        signer=bench.signer,
        clock=bench.clock,
        on_commit=bench.fates,
        internal=Own(bench.clock),
        floor=lambda: floor,
    )
    assert _wait(lambda: _first(bench) == floor)
    writer.close()

    assert _first(bench) == floor


def test_nothing_is_deleted_that_a_mandatory_sink_still_needs(bench: Bench) -> None:
    """Segments up to its cursor go, those behind it stay, in every program that writes the log."""
    third = list_segments(bench.directory)[2].first
    cursor = CursorFile(bench.directory, "siem")
    cursor.save(Cursor(sink="siem", mandatory=True, next=third + 1, event_id="e"))
    CursorFile(bench.directory, "lake").save(Cursor(sink="lake", mandatory=False, next=0))
    assert _run(bench, lambda _: _first(bench) == third)
    bench.clock.advance(2 * 3600)
    _run(bench, lambda writer: writer.size > third + 1)

    assert _first(bench) == third
    assert release_others(bench.directory, set()) == ["siem"]
    assert _run(bench, lambda _: _first(bench) > third)


def test_a_cursor_that_cannot_be_read_holds_everything(bench: Bench) -> None:
    """Better kept than lost."""
    CursorFile(bench.directory, "siem").claim(mandatory=True, begin=0)
    (bench.directory / "sinks" / "siem.json").write_text("{")

    assert floor(bench.directory) == 0


def test_a_new_mandatory_sink_holds_from_the_first_record_on(bench: Bench) -> None:
    """Before it has delivered anything; one that begins with what comes next holds nothing older."""
    CursorFile(bench.directory, "siem").claim(mandatory=True, begin=0)
    before = floor(bench.directory)
    CursorFile(bench.directory, "siem").claim(mandatory=False, begin=0)
    CursorFile(bench.directory, "next").claim(mandatory=True, begin=-1)

    assert (before, floor(bench.directory)) == (0, None)
