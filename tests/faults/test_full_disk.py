"""A disk that is really full: strict refuses in time and comes back, relaxed counts what is lost."""

import time
from pathlib import Path

import pytest
from tests.faults.smalldisk import NoSmallDisk, fill, small_disk
from tests.faults.test_audit_loss import failing_disk
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.records import records_lost
from tests.gateway.view import View, look
from tests.upstream import Upstream


class Filled:
    """The audit directory's disk, full until `free`; writes that fail where no small one can be had."""

    def __init__(self, gateway: Gateway, *, small: bool) -> None:
        self._ballast = fill(gateway.audit_folder) if small else None
        self._failing = failing_disk(gateway)
        if not small:
            self._failing.__enter__()

    def free(self) -> None:
        """Give the space back."""
        if self._ballast is not None:
            self._ballast.unlink()
        else:
            self._failing.__exit__(None, None, None)


def running(start: StartGateway, upstream: Upstream, tmp_path: Path, mode: str) -> tuple[Gateway, bool]:
    """A gateway with the llm `fast`, and whether its audit log has a small disk of its own."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    try:
        under = small_disk(tmp_path / "gateway" / "audit", "12m")
    except NoSmallDisk:
        under = []
    return start(toml=toml, env={"AUDIT_MODE": mode}, under=under), bool(under)


def back(gateway: Gateway) -> View:
    """The first answer after the disk was freed; nobody restarts anything."""
    deadline = time.monotonic() + 20
    while not (view := look(gateway, "fast")).complete:
        assert time.monotonic() < deadline, "not back 20 s after the disk was"
        time.sleep(0.1)
    return view


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_strict_refuses_in_time_keeps_the_last_record_and_resumes(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path, *, stream: bool
) -> None:
    """Every complete answer has its record, the one that met the full disk too; 503 within the deadline."""
    strict, small = running(gateway, upstream, tmp_path, "strict")
    before = look(strict, "fast", stream=stream)
    disk = Filled(strict, small=small)
    during = [look(strict, "fast", stream=stream) for _ in range(8)]
    disk.free()
    after = back(strict)
    outcomes = {record["trace_id"]: record["outcome"] for record in strict.records() if record.terminal}
    complete = [view for view in (before, *during, after) if view.complete]

    assert during[-1].status == 503
    assert during[-1].error is not None
    assert during[-1].error["code"] == "audit_unavailable"
    assert all(view.seconds < 5 for view in during)
    assert [outcomes.get(view.trace_id) for view in complete] == ["success"] * len(complete)
    assert not small or during[0].complete  # the reserve took the record that met the full disk


def test_relaxed_serves_and_the_gap_is_what_was_lost(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path
) -> None:
    """Nobody is refused; what the gap records count and the records that are there make up all requests."""
    relaxed, small = running(gateway, upstream, tmp_path, "relaxed")
    disk = Filled(relaxed, small=small)
    views = [look(relaxed, "fast") for _ in range(12)]
    time.sleep(0.5)  # relaxed records are written in the background, in real time
    views += [look(relaxed, "fast") for _ in range(12)]
    disk.free()
    deadline = time.monotonic() + 20
    while not records_lost(relaxed.records()) and time.monotonic() < deadline:
        time.sleep(0.1)
    recorded = [record for record in relaxed.records() if record.terminal]

    assert all(view.complete for view in views)
    assert records_lost(relaxed.records()) > 0
    assert len(recorded) + records_lost(relaxed.records()) == len(views)
    assert_books_balance(relaxed)
