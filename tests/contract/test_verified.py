"""What a verification finds is on the metrics page, so that an alert can call somebody."""

from pathlib import Path

import pytest
from tests.gateway import Gateway
from tests.gateway.fixtures import StartGateway
from tests.guide.test_4_configuration import ask_for_a_second_segment
from tests.prometheus.station import until


def asked(gateway: Gateway) -> tuple[bool, float]:
    """Have the log verified: what the answer says, and what the gauge shows then."""
    report = gateway.request("POST", "/admin/audit/verify", json={}).json()
    return report["ok"], gateway.scrape().value("ailinux_audit_verify_ok")


def spoil(path: Path, at: int) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_gauge_is_absent_then_one_then_zero(gateway: StartGateway, workers: int) -> None:
    """Absent before the first verification; 1 on a whole log; 0 once a byte of it has changed."""
    running = gateway(workers=workers)
    running.chat("echo")
    before = running.scrape().series("ailinux_audit_verify_ok")
    good = asked(running)
    (segment,) = (running.audit_folder / "segments").glob("*.jsonl")
    spoil(segment, 40)

    assert len(before) == 0
    assert [good, asked(running)] == [(True, 1), (False, 0)]


def test_a_fault_in_a_closed_segment_is_shown_and_outlives_a_restart(gateway: StartGateway) -> None:
    """Compressed and set aside is not out of reach; nobody ends the alert by restarting."""
    running = gateway(name="same", env={"AUDIT_MAX_SIZE_MB": "1"})
    segments = running.audit_folder / "segments"
    ask_for_a_second_segment(running, segments)
    (packed,) = until(lambda: list(segments.glob("*.zst")))
    good = asked(running)
    spoil(packed, packed.stat().st_size // 2)
    bad = asked(running)
    running.stop()
    again = gateway(name="same").scrape()

    assert [good, bad] == [(True, 1), (False, 0)]
    assert list(again.series("ailinux_audit_verify_ok").values()) == [0]
