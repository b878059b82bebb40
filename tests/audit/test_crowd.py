"""Real processes on one log, in peace and really killed: the short form of `make soak ARGS=audit`."""

from pathlib import Path

from tests.audit.trials import crowd


def test_four_processes_lose_double_and_tear_nothing_over_many_rotations(tmp_path: Path) -> None:
    """Exactly what was appended, each process's records complete and in its order, whoever of them writes."""
    outcome = crowd.together(tmp_path, processes=4, each=2_500, lanes=50, segment_bytes=100_000)

    assert outcome.faults == []
    assert outcome.figures["records"] == 10_000
    assert int(outcome.figures["segments"]) > 20


def test_what_was_acknowledged_survives_one_kill_after_another(tmp_path: Path) -> None:
    """After kill -9 of writers and others under load everything acknowledged is there once, and verifies."""
    outcome = crowd.kills(tmp_path, amount=30, segment_bytes=100_000)

    assert outcome.faults == []
    assert int(outcome.figures["writers killed"]) > 5
    assert int(outcome.figures["acknowledged"]) > 500
