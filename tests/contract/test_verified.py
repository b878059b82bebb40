"""What a verification finds is on the metrics page, so that an alert can call somebody."""

import pytest
from tests.gateway.fixtures import StartGateway


@pytest.mark.parametrize("workers", [1, 2])
def test_the_gauge_is_absent_then_one_then_zero(gateway: StartGateway, workers: int) -> None:
    """Absent before the first verification; 1 on a whole log; 0 once a byte of it has changed."""
    running = gateway(workers=workers)
    running.chat("echo")
    before = running.scrape().series("ailinux_audit_verify_ok")
    first = running.request("POST", "/admin/audit/verify", json={}).json()
    good = running.scrape().value("ailinux_audit_verify_ok")
    (segment,) = (running.audit_folder / "segments").glob("*.jsonl")
    with segment.open("r+b") as file:
        file.seek(40)
        file.write(b"#")
    second = running.request("POST", "/admin/audit/verify", json={}).json()
    bad = running.scrape().value("ailinux_audit_verify_ok")

    assert (len(before), first["ok"], good) == (0, True, 1)
    assert (second["ok"], bad) == (False, 0)
