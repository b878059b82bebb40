"""Who guesses keys at a running gateway is slowed down, counted, and cannot fill its log."""

import time
from collections.abc import Callable

import httpx
import pytest
from tests.gateway import assert_books_balance
from tests.gateway.fixtures import StartGateway

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
GUESS = {"authorization": "Bearer tsk_guessed"}
ENOUGH = 20
"""So many refusals in a row would be chance no more if there were a worker that let guesses in."""


@pytest.mark.parametrize("workers", [1, 2])
def test_guesses_are_throttled_and_good_keys_pass(gateway: StartGateway, workers: int) -> None:
    """429 with Retry-After; a good key from the same address is served all the while."""
    running = gateway(
        toml="[auth]\nfailed_logins_per_minute = 8\n",
        env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"},
        workers=workers,
    )
    guesses: list[httpx.Response] = []
    while len(guesses) < 400 and [each.status_code for each in guesses[-ENOUGH:]] != [429] * ENOUGH:
        guesses.append(running.request("POST", "/v1/chat", headers=GUESS, content=b"{}"))
    none = running.request("GET", "/admin/keys")
    good = [running.request("GET", "/v1/models", headers=ADMIN).status_code for _ in range(5)]
    late = guesses[-1]

    statuses = [guess.status_code for guess in guesses]
    assert set(statuses) == {401, 429}
    assert 4 <= statuses.count(401) <= 8
    assert (late.status_code, late.json()["error"]["code"]) == (429, "too_many_failed_logins")
    assert int(late.headers["retry-after"]) > 0
    assert none.status_code == 429
    assert good == [200] * 5
    assert_books_balance(running)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_change_and_a_revocation_reach_every_worker(gateway: StartGateway, workers: int) -> None:
    """Within 2 s; how long a revoked key was still taken is measured, in each process."""
    running = gateway(env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"}, workers=workers)
    made = running.request("POST", "/admin/keys", headers=ADMIN, json={"name": "k"}).json()
    key = {"authorization": f"Bearer {made['key']}"}
    path = f"/admin/keys/{made['id']}"

    def within(holds: Callable[[], bool]) -> bool:
        """Whether it holds within the time that is promised and what the test machine adds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if holds():
                return True
        return False

    def settled(wanted: int) -> bool:
        """The workers say so; which of them are asked is the kernel's choice."""

        def told() -> set[int]:
            answers = [running.request("GET", "/v1/memory", headers=key) for _ in range(4 * workers)]
            return {answer.status_code for answer in answers}

        return within(lambda: told() == {wanted})

    def measured(wanted: int) -> bool:
        return within(lambda: running.scrape().value("ailinux_key_revocation_lag_seconds_count") == wanted)

    assert settled(403)
    running.request("PATCH", path, headers=ADMIN, json={"scopes": ["chat", "memory:read"]})
    assert settled(200)
    running.request("DELETE", path, headers=ADMIN)
    assert settled(401)

    # A handful of requests may all have reached one worker: that each was told is what each has measured.
    assert measured(workers)
    assert_books_balance(running)


def test_guesses_do_not_fill_the_log(gateway: StartGateway) -> None:
    """Those beyond the limit have no records: one counts them. The metrics count each."""
    running = gateway(
        toml="[auth]\nfailed_logins_per_minute = 5\n", env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests"}
    )
    for _ in range(60):
        running.request("POST", "/v1/chat/completions", headers=GUESS, content=b"{}")
    scrape = running.scrape()
    running.stop()
    records = running.records()
    failures = [record for record in records if record.action == "auth_failure"]

    assert sum(record.terminal for record in records) == 5
    assert len(failures) == 2
    assert sum(record.details["count"] for record in failures) == 60
    assert failures[-1].details["reasons"] == {"unknown": 4, "throttled": 55}
    assert scrape.value("ailinux_auth_failures_total", reason="throttled") == 55
    assert scrape.value("ailinux_request_count", endpoint="_throttled", method="POST", status="429") == 55
