"""The books after everything at once: the short form of `make soak ARGS="audit-storm"`."""

from pathlib import Path

from tests.contract.storm import storm


def test_the_books_balance_after_faults_departures_and_kills(tmp_path: Path) -> None:
    """`audit verify --reconcile` exits 0, and each complete answer has exactly one record."""
    outcome = storm(tmp_path, kills=6, every=12)

    assert outcome.faults == []
    assert outcome.figures["gateways killed"] == 1
    assert outcome.figures["workers killed"] == 5
    assert int(outcome.figures["complete"]) >= 80
