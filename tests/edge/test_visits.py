"""The access log and the ids in the gateway's own log, as an operator reads them."""

import json
from typing import Any

import pytest
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Status, Upstream


def lines(gateway: Gateway, event: str) -> list[dict[str, Any]]:
    """The lines of its log with this event."""
    told = [json.loads(line) for line in gateway.errors().splitlines() if line.startswith("{")]
    return [line for line in told if line["event"] == event]


def toml(upstream: Upstream, *, access: bool) -> str:
    """Two llms; with or without the access log."""
    logs = "[logs]\naccess = true\n" if access else ""
    return logs + document(
        provider("p", upstream.base_url), llm("fast", "p", fallbacks=["spare"], retries=0), llm("spare", "p")
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_each_request_is_one_line_under_the_ids_that_its_client_has(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """Who asked for what, how it ended, how long it took; a scrape is no visit."""
    upstream.on("fast", Status(500))
    running = gateway(toml=toml(upstream, access=True), workers=workers)
    view = look(running, "fast")
    other = running.request("GET", "/nowhere/at%0Aall?key=sk-canary-0123456789")
    running.scrape()
    running.stop()
    told = {line["request_id"]: line for line in lines(running, "request")}
    call = told[view.headers["x-request-id"]]

    assert call["trace_id"] == view.trace_id
    assert (call["method"], call["path"], call["status"]) == ("POST", "/v1/chat/completions", 200)
    assert (call["outcome"], call["llm"], call["attempts"]) == ("success", "spare", 2)
    assert call["duration_ms"] > 0
    assert told[other.headers["x-request-id"]]["status"] == other.status_code == 400
    assert told[other.headers["x-request-id"]]["path"] == "/nowhere/at\nall"
    assert "/metrics" not in {line["path"] for line in told.values()}
    assert "canary" not in running.errors()


def test_the_access_log_is_off_by_default(gateway: StartGateway, upstream: Upstream) -> None:
    """The audit log has every call already."""
    running = gateway(toml=toml(upstream, access=False))
    look(running, "fast")
    running.stop()

    assert lines(running, "request") == []
