"""What happens at a running gateway is in its audit log, once: one test per kind of event."""

import time

import pytest
from tests.gateway import Gateway, Record, assert_books_balance, document, llm, provider, server
from tests.gateway.fixtures import StartGateway
from tests.upstream import Status, Upstream

WORKERS = pytest.mark.parametrize("workers", [1, 2], ids=["1-worker", "2-workers"])
ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
ENV = {"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"}


def of(running: Gateway, action: str, at_least: int = 1) -> list[Record]:
    """The records of this action, once there are so many; what nobody waits for is there a moment later."""
    deadline = time.monotonic() + 5
    while True:
        found = [record for record in running.records() if record.action == action]
        if len(found) >= at_least or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def counted(records: list[Record]) -> int:
    """How many happenings these records tell of."""
    return sum(record.details["count"] for record in records)


def make_key(running: Gateway, **fields: object) -> dict[str, str]:
    """A key with these fields, as a header."""
    made = running.request("POST", "/admin/keys", headers=ADMIN, json={"name": "k", **fields})
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['key']}"}


@WORKERS
def test_failed_logins_are_recorded_folded_by_address(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """The first at once, the others as one with their number; each request has its own record beside."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=toml, env=ENV, workers=workers)
    for _ in range(8):
        assert running.chat("fast").status_code == 401
    assert running.request("GET", "/admin/keys", headers={"x-api-key": "tsk_wrong"}).status_code == 401
    (first,) = of(running, "auth_failure")
    assert_books_balance(running)
    running.stop()
    failures = of(running, "auth_failure")

    assert first.details == {"count": 1, "reasons": {"missing": 1}}
    assert (first["log_level"], first["outcome"], first["ip_address"]) == ("SECURITY", "refused", "127.0.0.1")
    assert len(failures) == 2
    assert counted(failures) == 9
    assert failures[1].details["reasons"] == {"missing": 7, "unknown": 1}


def test_a_key_that_is_let_in_is_recorded_once(gateway: StartGateway, upstream: Upstream) -> None:
    """Once per key and address, over all workers."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=toml, env=ENV, workers=2)
    key = make_key(running)
    for _ in range(10):
        assert running.chat("fast", headers=key).status_code == 200
    logins = of(running, "auth_success", 2)

    users = [record["user_id"] for record in logins]
    assert len(users) == len(set(users)) == 2
    assert {record["outcome"] for record in logins} == {"success"}


def test_a_denied_scope_model_or_route_is_recorded(gateway: StartGateway, upstream: Upstream) -> None:
    """Whether the corridor refuses or a control route; counted all, and never an upstream's own 403."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"), llm("dear", "p"))
    running = gateway(toml=toml, env=ENV, workers=2)
    key = make_key(running, llms=["fast"])
    assert running.request("GET", "/admin/keys", headers=key).status_code == 403
    assert running.chat("dear", headers=key).status_code == 403
    upstream.default = Status(403)
    running.chat("fast", headers=key)
    running.stop()
    denied = of(running, "access_denied", 2)

    assert counted(denied) == 2
    assert denied[0]["resource"] == "/admin/keys"
    assert denied[0]["log_level"] == "SECURITY"
    assert denied[0]["user_id"] == denied[1]["user_id"] is not None


def test_a_reached_limit_is_recorded_with_its_name(gateway: StartGateway, upstream: Upstream) -> None:
    """Our own 429 only: what a provider refuses is in the request's attempts."""
    toml = document(
        provider("p", upstream.base_url), llm("fast", "p"), llm("busy", "p", model="busy", retries=0)
    )
    running = gateway(toml=toml, env=ENV, workers=2)
    key = make_key(running, requests_per_minute=1)
    assert [running.chat("fast", headers=key).status_code for _ in range(4)] == [200, 429, 429, 429]
    upstream.on("busy", Status(429))
    running.chat("busy", headers=ADMIN)
    running.stop()
    limited = of(running, "rate_limited", 2)

    assert counted(limited) == 3
    assert limited[0].details["reasons"] == {"requests": 1}
    assert limited[0]["user_id"] == limited[1]["user_id"] is not None


def test_a_breaker_that_opens_is_recorded_once(gateway: StartGateway, upstream: Upstream) -> None:
    """Whichever worker saw the failures."""
    toml = document(
        provider("p", upstream.base_url),
        llm("fast", "p", retries=0, breaker={"failures": 2, "cooldown_s": 300}),
    )
    running = gateway(toml=toml, workers=2)
    upstream.default = Status(500)
    for _ in range(5):
        running.chat("fast")
    (opened,) = of(running, "breaker_transition")

    assert (opened["resource"], opened.details["to"]) == ("llm:fast", "open")


def test_keys_made_and_revoked_are_recorded_with_who_did_it(gateway: StartGateway) -> None:
    """Once each, at /admin/keys of a running gateway."""
    running = gateway(env=ENV)
    made = running.request("POST", "/admin/keys", headers=ADMIN, json={"name": "k"}).json()
    running.request("DELETE", f"/admin/keys/{made['id']}", headers=ADMIN)
    (created,), (revoked,) = of(running, "key_created"), of(running, "key_revoked")

    assert created["resource"] == revoked["resource"] == f"/admin/keys/{made['id']}"
    assert created["user_id"] == revoked["user_id"] is not None


def test_memory_written_read_and_deleted_is_recorded(gateway: StartGateway) -> None:
    """Once each, without the content."""
    running = gateway()
    entry = running.request("POST", "/v1/memory", json={"content": "the canary sings"}).json()
    running.request("GET", f"/v1/memory/{entry['id']}")
    running.request("DELETE", f"/v1/memory/{entry['id']}")

    for action in ("memory_written", "memory_read", "memory_deleted"):
        (record,) = of(running, action)
        assert entry["id"] in record["resource"]
        assert b"canary" not in record.line


def test_a_service_that_starts_and_stops_records_both_once(gateway: StartGateway) -> None:
    """The start first, the stop last."""
    running = gateway(toml=document(server()), workers=2)
    running.stop()
    actions = [record.action for record in running.records()]

    assert actions.count("service_started") == actions.count("service_stopped") == 1
    assert actions[-1] == "service_stopped"
