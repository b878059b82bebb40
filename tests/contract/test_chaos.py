"""Order after a while of chaos: the short form of `make soak ARGS="conduct-chaos"`."""

from pathlib import Path

from tests.contract.chaos import chaos


def test_after_faults_kills_and_a_redis_that_comes_and_goes_all_is_as_before(tmp_path: Path) -> None:
    """Books, tasks, leases, breakers, memory, descriptors."""
    outcome = chaos(tmp_path, seconds=60, clients=2)

    assert outcome.faults == []
    assert int(outcome.figures["complete"]) >= 20
