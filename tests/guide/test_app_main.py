"""`app.main:app` under plain uvicorn: it answers, counts, records and stops."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway import assert_books_balance
from tests.gateway.view import View, look
from tests.guide.plain_uvicorn import PlainUvicorn
from tests.prometheus.station import until


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def uvicorn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlainUvicorn]:
    """Uvicorn with the gateway in it, ready; nothing of it is left afterwards."""
    running = PlainUvicorn(tmp_path / "checkout", workers=request.param)
    try:
        yield running.start()
    finally:
        print(running.output())  # noqa: T201 - pytest shows it with a failed test
        running.close()


def test_it_answers_counts_records_and_stops(uvicorn: PlainUvicorn) -> None:
    """Every worker serves, all count into one, each answer has its record, and the end is in order."""
    views: list[View] = []

    def every_worker_has_answered() -> bool:
        views.extend(look(uvicorn, "echo", stream=stream) for stream in (False, True) * 5)
        return len({record["worker"] for record in uvicorn.records() if record.terminal}) == uvicorn.workers

    until(every_worker_has_answered)
    counts = {uvicorn.scrape().value("ailinux_request_count", status="200", method="POST") for _ in range(5)}
    assert_books_balance(uvicorn)
    code = uvicorn.stop()
    until(lambda: not uvicorn.processes())
    recorded = {record["trace_id"]: record["outcome"] for record in uvicorn.records() if record.terminal}

    assert all(view.complete for view in views)
    assert counts == {len(views)}
    assert recorded == {view.trace_id: "success" for view in views}
    assert code == (0 if uvicorn.workers > 1 else -signal.SIGTERM)  # uvicorn alone ends by the signal itself
    assert uvicorn.records()[-1].action == "service_stopped"
    assert "Traceback" not in uvicorn.errors()
    assert "ERROR" not in uvicorn.errors()
