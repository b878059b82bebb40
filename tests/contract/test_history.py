"""How a gateway fared, over HTTP: for every process of the host, as a stream, over a restart."""

import json
import time
from typing import Any

import httpx
from tests.gateway import Gateway
from tests.gateway.fixtures import StartGateway

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
CLOSED = {"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"}


def history(gateway: Gateway, span: str = "15m") -> dict[str, Any]:
    """One span."""
    answer = gateway.request("GET", "/admin/history", params={"span": span}, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_every_worker_tells_of_all(gateway: StartGateway) -> None:
    """Three workers, one history: what any of them served is in what any of them says."""
    running = gateway(workers=3, env=CLOSED)
    for _ in range(12):
        running.chat("echo", headers=ADMIN)
    told = [history(running)["now"] for _ in range(6)]

    assert all(now["requests"] > 0.5 for now in told)
    assert all(now["p95"] is not None and now["tokens_in"] > 0 for now in told)


def test_the_history_outlives_a_restart(gateway: StartGateway) -> None:
    """In every span; the second start serves what the first one measured."""
    first = gateway(env=CLOSED)
    for _ in range(20):
        first.chat("echo", headers=ADMIN)
    first.stop()
    second = Gateway(first.folder, env=CLOSED)
    with second:
        found = {span: history(second, span) for span in ("15m", "4h", "7d")}
        second.stop()

    assert found["15m"]["columns"]["requests"][0] > 0
    assert all(len(each["columns"]["at"]) >= 1 for each in found.values())
    assert (first.data_folder / "history.msgpack").stat().st_mode & 0o077 == 0


def test_a_viewer_is_told_as_it_goes_until_the_gateway_stops(gateway: StartGateway) -> None:
    """Each pulse is a whole picture; a viewer does not hold up the end."""
    running = gateway(env=CLOSED)
    with httpx.stream("GET", f"{running.url}/admin/history/stream", headers=ADMIN, timeout=30) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        first = json.loads(next(line for line in lines if line.startswith("data:"))[5:])
        running.chat("echo", headers=ADMIN)
        second = json.loads(next(line for line in lines if line.startswith("data:"))[5:])
        began = time.monotonic()
        assert running.stop() == 0
        last = [line for line in lines if line]

    assert (first["now"]["requests"], second["now"]["requests"] > 0) == (0, True)
    assert last[-2] == "event: end"
    assert time.monotonic() - began < 25


def test_it_is_for_those_who_may_read_metrics(gateway: StartGateway) -> None:
    """401 without a key, 403 without the scope, 404 where nothing is measured."""
    running = gateway(env=CLOSED)
    keys = {}
    for scope in ("metrics", "chat"):
        body = {"name": scope, "scopes": [scope]}
        made = running.request("POST", "/admin/keys", json=body, headers=ADMIN).json()
        keys[scope] = {"authorization": f"Bearer {made['key']}"}
    unmeasured = gateway(env=CLOSED | {"METRICS_ENABLED": "false"}, name="unmeasured")

    for path in ("/admin/history", "/admin/history/stream"):
        assert running.request("GET", path).status_code == 401
        assert running.request("GET", path, headers=keys["chat"]).status_code == 403
        assert unmeasured.request("GET", path, headers=ADMIN).status_code == 404
    assert running.request("GET", "/admin/history", headers=keys["metrics"]).status_code == 200
    assert running.request("GET", "/admin/history?span=9d", headers=keys["metrics"]).status_code == 400
