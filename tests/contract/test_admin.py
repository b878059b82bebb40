"""What operators order of a running gateway, in one process and through workers."""

import signal
import time

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.upstream import Answer, Status, Upstream

WORKERS = pytest.mark.parametrize("workers", [1, 2], ids=["1-worker", "2-workers"])
KEY = "an-admin-key-for-tests"


def breakers(running: Gateway) -> dict[str, str]:
    """Each llm's breaker state, as `/admin/breakers` tells it."""
    answer = running.request("GET", "/admin/breakers")
    assert answer.status_code == 200, answer.text
    return {row["llm_id"]: row["state"] for row in answer.json()["data"]}


def models(running: Gateway) -> list[str]:
    """The llms that clients can name."""
    return [row["id"] for row in running.request("GET", "/v1/models").json()["data"]]


def eventually(condition: object, what: str) -> None:
    """Wait for a state that another process reaches in its own time."""
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@WORKERS
def test_an_operator_takes_an_llm_out_and_back(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """Forced open it is not called, whatever it would answer; a reset brings it back; both are audited."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=toml, workers=workers)
    assert breakers(running) == {"fast": "closed"}

    assert running.request("POST", "/admin/breakers/fast/open").status_code == 204
    eventually(lambda: breakers(running) == {"fast": "open"}, "the breaker opens in every worker")
    refused = running.chat("fast")
    assert running.scrape().value("ailinux_circuit_breaker_state", llm_id="fast") == 1
    assert running.request("POST", "/admin/breakers/fast/reset").status_code == 204
    eventually(lambda: breakers(running) == {"fast": "closed"}, "the breaker closes in every worker")

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert running.chat("fast").status_code == 200
    overrides = [record for record in running.records() if record.action == "breaker_override"]
    assert [record.details["order"] for record in overrides] == ["force_open", "reset"]
    assert_books_balance(running)


def test_an_unknown_llm_has_no_breaker(gateway: StartGateway, upstream: Upstream) -> None:
    """404, and nothing is recorded as overridden."""
    running = gateway(toml=document(provider("p", upstream.base_url), llm("fast", "p")))

    assert running.request("POST", "/admin/breakers/nobody/open").status_code == 404
    assert not [record for record in running.records() if record.action == "breaker_override"]


@WORKERS
@pytest.mark.parametrize("how", ["route", "signal"])
def test_a_reload_puts_new_llms_in_force(
    gateway: StartGateway, upstream: Upstream, workers: int, how: str
) -> None:
    """In every worker; what was counted stays counted."""
    before = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=before, workers=workers)
    assert running.chat("fast").status_code == 200
    (running.folder / "tristar.toml").write_text(before + document(llm("new", "p", model="m2")))

    if how == "signal":
        running.process.send_signal(signal.SIGHUP)
    else:
        assert running.request("POST", "/admin/reload").json() == {"status": "reloaded"}
    for _ in range(2 * workers):
        eventually(lambda: models(running) == ["fast", "new"], "every worker has the new llm")

    eventually(lambda: running.chat("new").status_code == 200, "the new llm answers")
    scrape = running.scrape()
    assert scrape.value("ailinux_circuit_breaker_state", llm_id="new") == 0
    assert scrape.value("ailinux_llm_calls_total", model="fast", status="success") == 1
    assert [record.action for record in running.records() if record.action.startswith("config_")] == [
        "config_reloaded"
    ]
    assert_books_balance(running)


@WORKERS
def test_a_reload_of_a_bad_file_changes_nothing(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """400 with the fault; the running configuration stays, and the rejection is recorded."""
    good = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=good, workers=workers)
    (running.folder / "tristar.toml").write_text(good + document(llm("new", "nobody")))
    answer = running.request("POST", "/admin/reload")

    assert answer.status_code == 400
    assert "nobody" in answer.json()["error"]["message"]
    assert models(running) == ["fast"]
    assert running.chat("fast").status_code == 200
    assert [record.action for record in running.records() if record.action.startswith("config_")] == [
        "config_rejected"
    ]


def test_a_breaker_keeps_its_state_through_a_reload(gateway: StartGateway, upstream: Upstream) -> None:
    """A reload is no way to forget an ill llm."""
    toml = document(
        provider("p", upstream.base_url),
        llm("fast", "p", retries=0, breaker={"failures": 1, "cooldown_s": 300}),
    )
    running = gateway(toml=toml)
    upstream.default = Status(500)
    running.chat("fast")
    assert breakers(running) == {"fast": "open"}
    upstream.default = Answer()

    running.request("POST", "/admin/reload")

    assert breakers(running) == {"fast": "open"}


@WORKERS
def test_without_a_good_key_nothing_can_be_ordered(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """An admin key closes access: 401 without it, and with another one."""
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    running = gateway(toml=toml, workers=workers, env={"TRISTAR_ADMIN_KEY": KEY})
    for headers in ({}, {"authorization": "Bearer wrong"}):
        for method, path in (
            ("POST", "/admin/reload"),
            ("POST", "/admin/breakers/fast/open"),
            ("GET", "/admin/keys"),
        ):
            assert running.request(method, path, headers=headers).status_code == 401

    good = {"authorization": f"Bearer {KEY}"}
    assert running.request("GET", "/admin/breakers", headers=good).status_code == 200
    assert running.request("GET", "/health/live").status_code == 200
    assert running.scrape().value("ailinux_auth_failures_total", reason="missing") == 3
    assert KEY not in running.output()
