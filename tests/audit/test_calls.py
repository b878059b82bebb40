"""The log as the kernel sees it, and after a power cut: the short form of `make soak ARGS=audit`."""

import random
from pathlib import Path

from tests.audit.trials import replay, tracing
from tests.audit.trials.calls import Call
from tests.audit.trials.volume import HOW, Volume


def test_lines_and_checkpoint_are_synced_before_anything_is_acknowledged(tmp_path: Path) -> None:
    """Of each acknowledged record: its line, a sync, a checkpoint, a sync, and only then the word."""
    outcome = tracing.order(tmp_path / "log")

    assert outcome.faults == []
    assert outcome.figures["acknowledgements"] == 30


def test_a_call_that_fails_or_kills_costs_no_acknowledged_record(tmp_path: Path) -> None:
    """A sample of all calls: EIO, ENOSPC, SIGKILL, EIO for ever. Then the log opens, and verifies."""
    outcome = tracing.injected(tmp_path, step=113, start=37)

    assert outcome.faults == []
    assert int(outcome.figures["faults injected"]) >= 10
    assert int(outcome.figures["acknowledged"]) > 100


def test_a_power_cut_costs_no_acknowledged_record(tmp_path: Path) -> None:
    """The recorded writes cut around every twelfth sync, the unsynced rest lost, kept, torn or in pieces."""
    outcome = replay.cuts(tmp_path, step=12)

    assert outcome.faults == []
    assert int(outcome.figures["states"]) >= 80
    assert int(outcome.figures["acknowledged records looked for"]) > 500


def _call(at: int, name: str, *, path: str = "", data: bytes = b"", result: int = 0) -> Call:
    strings = tuple(part for part in (path.encode(), data) if part)
    return Call(1, name, at, at, 5, "", strings, (len(data), 0), result, "")


def test_what_was_not_synced_may_be_gone_after_a_power_cut() -> None:
    """The model can lose: bytes without a sync of the file, names without one of the directory."""
    made = [
        _call(1, "openat", path="/log/a", result=5),
        _call(2, "pwrite64", data=b"kept", result=4),
        _call(3, "fdatasync"),
        _call(4, "pwrite64", data=b"lost", result=4),
    ]
    named = [_call(5, "close"), _call(6, "openat", path="/log", result=5), _call(7, "fsync")]
    chance, without, within = random.Random(1), Volume(Path("/log")), Volume(Path("/log"))
    without.play(made)
    within.play([*made, *named])

    assert "/log/a" not in without.left("least", chance)
    assert within.left("least", chance)["/log/a"] == b"kept"
    assert within.left("most", chance)["/log/a"] == b"lost"
    assert {within.left(how, chance)["/log/a"] for how in HOW * 9} == {b"kept", b"lost"}
