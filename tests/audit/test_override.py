"""A damaged log refuses to start, and goes on only when an operator says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.bench import Bench, Own

from tristar.audit.checkpoint import CHECKPOINT, SLOTS
from tristar.audit.gaps import Gaps
from tristar.audit.override import recover_accept_truncation
from tristar.audit.segments import list_segments
from tristar.audit.verify import verify
from tristar.audit.writer import WriterOptions
from tristar.errors import AuditCorrupt

_OPTIONS = WriterOptions(max_segment_bytes=40_000, publish_s=0.05, reserve_bytes=4096)


def _truncate(directory: Path) -> None:
    path = list_segments(directory)[-1].path
    path.write_bytes(path.read_bytes()[:-3_000])


def _alter(directory: Path) -> None:
    path = list_segments(directory)[-1].path
    path.write_bytes(path.read_bytes().replace(b'"event_id":"e940"', b'"event_id":"x940"'))


def _remove_middle(directory: Path) -> None:
    list_segments(directory)[1].path.unlink()


def _remove_last(directory: Path) -> None:
    list_segments(directory)[-1].path.unlink()


def _remove_slots(directory: Path) -> None:
    (directory / SLOTS).unlink()


def _spoil_slot(directory: Path) -> None:
    path = directory / SLOTS
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


_DAMAGE = [_truncate, _alter, _remove_middle, _remove_last, _remove_slots, _spoil_slot]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A log with closed segments and an active one."""
    bench = Bench(tmp_path)
    bench.write(950, options=_OPTIONS)
    return bench


def _accept(bench: Bench) -> Gaps | None:
    return recover_accept_truncation(
        bench.directory,
        signer=bench.signer,
        clock=bench.clock,
        internal=Own(bench.clock),
        operator="alice",
        reason="disk replaced",
    )


@pytest.mark.parametrize("damage", _DAMAGE)
def test_a_damaged_log_refuses_to_start(bench: Bench, damage: Callable[[Path], None]) -> None:
    """Whatever is missing or altered: nothing is written, the files stay as evidence."""
    damage(bench.directory)
    before = {path: path.read_bytes() for path in (bench.directory / "segments").iterdir()}
    with pytest.raises(AuditCorrupt):
        bench.open(_OPTIONS)

    assert {path: path.read_bytes() for path in (bench.directory / "segments").iterdir()} == before


@pytest.mark.parametrize("damage", _DAMAGE)
def test_an_accepted_override_is_recorded_and_the_log_goes_on(
    bench: Bench, damage: Callable[[Path], None]
) -> None:
    """After it the writer starts, verification passes and says what was given up, by whom."""
    anchor = (bench.directory / CHECKPOINT).read_bytes()
    damage(bench.directory)
    _accept(bench)
    bench.write(300, prefix="after", options=_OPTIONS)
    bench.write(10, prefix="again", options=_OPTIONS)
    recovered = [
        r for r in bench.records() if r["action"] == "audit_recovered" and "alice" in str(r["details"])
    ]

    report = verify(bench.directory, bench.signer.verifier, anchor if damage is not _remove_slots else None)

    assert [str(fault) for fault in report.faults] == []
    assert len(recovered) == 1
    assert report.size > 1_260
    assert bench.event_ids()[-10:] == [f"again{number}" for number in range(10)]


def test_what_is_altered_after_an_override_is_still_found(bench: Bench) -> None:
    """Giving up some records gives up no others."""
    _truncate(bench.directory)
    _accept(bench)
    bench.write(300, prefix="after", options=_OPTIONS)
    path = list_segments(bench.directory)[-1].path
    path.write_bytes(path.read_bytes().replace(b'"event_id":"after299"', b'"event_id":"other299"'))
    report = verify(bench.directory, bench.signer.verifier)

    assert [fault.problem for fault in report.faults] == ["was altered"]


def test_a_sound_log_needs_no_override(bench: Bench) -> None:
    """Nothing is recorded where nothing is wrong."""
    lines = bench.lines()

    assert _accept(bench) is None
    assert bench.lines() == lines
