"""Every write and every sync of the commit path fails once, in each way it can."""

import errno
import itertools
import threading
from pathlib import Path

import pytest
from tests.audit.bench import Bench, FaultyDisk, draft

from tristar.audit.verify import verify
from tristar.audit.writer import WriterOptions
from tristar.errors import AuditUnavailable

_SMALL = WriterOptions(max_segment_bytes=1_500, reserve_bytes=4096, publish_s=3600, give_up_s=1e9)
_ROUNDS = 8
_VERDICTS = {
    "EIO": errno.EIO,
    "EIO, but persisted": (errno.EIO, True),
    "ENOSPC": errno.ENOSPC,
}


def _run(bench: Bench, disk: FaultyDisk) -> tuple[list[str], list[str]]:
    """Append one record after the other, waiting for each; returns (acknowledged, refused)."""
    writer, refused, told = bench.open(_SMALL, disk=disk), [], 0
    for number in range(_ROUNDS):
        event_id = f"e{number}"
        while True:
            try:
                writer.append(draft(event_id, details={"pad": "x" * 300}), event_id)
            except AuditUnavailable:
                refused.append(event_id)
                bench.clock.advance(1)
                writer.health()
                continue
            break
        told += 1
        bench.fates.wait(told)
    writer.close()
    return [str(token) for token in bench.fates.durable], refused


@pytest.mark.parametrize("verdict", _VERDICTS.values(), ids=_VERDICTS)
@pytest.mark.parametrize("call", range(36))
def test_one_failing_call_never_costs_or_doubles_an_acknowledged_record(
    tmp_path: Path, call: int, verdict: object
) -> None:
    """Whichever call of the commit thread fails, every acknowledged record is in the log exactly once."""
    bench, seen = Bench(tmp_path), itertools.count()
    bench.write(3, prefix="before")
    bench.fates.durable.clear()

    def rule(_name: str) -> object:
        if threading.current_thread().name != "audit-commit":
            return None
        return verdict if next(seen) == call else None

    acknowledged, _ = _run(bench, FaultyDisk(rule=rule))

    assert acknowledged == [f"e{number}" for number in range(_ROUNDS)]
    assert bench.event_ids()[3:] == acknowledged
    assert verify(bench.directory, bench.signer.verifier).ok
    bench.open(_SMALL).close()
    assert bench.event_ids()[3:] == acknowledged
