"""What the gateway leans on goes away, hangs and comes back: what is served meanwhile, and who is told."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.limits import servers
from tests.storage.postgres import PostgresServer, new_postgres
from tests.upstream import Status, Upstream

WORKERS = pytest.mark.parametrize("workers", [1, 2])
ADMIN_KEY = "sk-canary-admin-key-0123456789"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
LASTING = {"failures": 2, "cooldown_s": 600}


def configuration(upstream: Upstream, *, redis: str = "degrade", database: str = "degrade") -> str:
    """An llm with limits, one that opens its breaker for long, and what is done without a dependency."""
    return document(
        f'[dependencies]\nredis = "{redis}"\ndatabase = "{database}"\n',
        provider("p", upstream.base_url),
        llm("limited", "p", requests_per_minute=100_000),
        llm("frail", "p", retries=0, breaker=LASTING),
    )


def condition(gateway: Gateway, name: str) -> tuple[int, str]:
    """Readiness, and what it says of a dependency."""
    answer = gateway.request("GET", "/health/ready")
    return answer.status_code, answer.json()["dependencies"][name]["status"]


def until(holds: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def up(gateway: Gateway, name: str) -> float:
    """What the metric says."""
    return gateway.scrape().value("ailinux_dependency_up", dependency=name)


def assert_told(gateway: Gateway, name: str, turns: list[str]) -> None:
    """One record and one line in the log for each turn, however many requests have met it.

    A machine so busy that a local Redis takes 50 ms may turn away and back once more by itself.
    """
    records = [
        record.details["to"]
        for record in gateway.records()
        if record.action == "dependency_transition" and record["resource"] == f"dependency:{name}"
    ]
    said = [json.loads(line) for line in gateway.errors().splitlines() if line.startswith("{")]
    lines = [line["condition"] for line in said if line["event"] == "dependency" and line["name"] == name]

    assert records == turns * max(1, len(records) // len(turns))
    assert lines == records


@WORKERS
def test_a_redis_that_hangs_keeps_no_request_waiting(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """SIGSTOP: calls go on with this host's own limits; one turn is told, and one back.

    How long each may wait is measured in `tests/host/test_replicas`.
    """
    with servers.listening() as (url, redis):
        running = gateway(toml=configuration(upstream), env={"REDIS_URL": url}, workers=workers)
        before = [look(running, "limited") for _ in range(5)]
        redis.pause()
        during = [look(running, "limited") for _ in range(20)]
        until(lambda: condition(running, "redis") == (200, "degraded"))
        metric = up(running, "redis")
        redis.resume()
        until(lambda: condition(running, "redis") == (200, "ok"))
        after = look(running, "limited")

        assert all(view.status == 200 for view in [*before, *during, after])
        assert metric == 0.5
        assert up(running, "redis") == 1
        assert_told(running, "redis", ["degraded", "ok"])
        assert_books_balance(running)


@WORKERS
def test_without_redis_calls_are_refused_where_the_operator_wants_it(
    gateway: StartGateway, upstream: Upstream, workers: int
) -> None:
    """503 for llm calls, streamed or not, and nothing is sent upstream; the rest is served."""
    with servers.listening() as (url, redis):
        running = gateway(
            toml=configuration(upstream, redis="refuse"), env={"REDIS_URL": url}, workers=workers
        )
        before = look(running, "limited").status
        redis.stop()
        until(lambda: condition(running, "redis") == (503, "down"))
        metric, calls = up(running, "redis"), len(upstream.journal.calls)
        during = [
            look(running, model, stream=stream) for model in ("limited", "frail") for stream in (False, True)
        ]
        memory = running.request("GET", "/v1/memory").status_code
        sent = len(upstream.journal.calls) - calls
        redis.restart()
        until(lambda: condition(running, "redis") == (200, "ok"))
        # a Redis that has just started may take longer than the 50 ms that a request waits
        until(lambda: look(running, "limited").status == 200)

        assert (before, memory, sent, metric) == (200, 200, 0, 0)
        for view in during:
            assert view.status == 503
            assert view.error is not None
            assert view.error["code"] == "dependency_unavailable"
            assert int(view.headers["retry-after"]) >= 1
            assert running.record_of(view.trace_id).attempts == []
        assert_told(running, "redis", ["down", "ok"])
        assert_books_balance(running)


def test_a_breaker_is_one_over_all_replicas(gateway: StartGateway, upstream: Upstream) -> None:
    """What fails through one opens it for the other; an operator's reset closes it for both, audited once."""
    upstream.on("frail", Status(500))
    with servers.listening() as (url, redis):
        one, two = (
            gateway(toml=configuration(upstream), workers=n, env={"REDIS_URL": url}, name=f"replica{n}")
            for n in (1, 2)
        )

        def states() -> list[float]:
            return [
                each.scrape().value("ailinux_circuit_breaker_state", llm_id="frail") for each in (one, two)
            ]

        failed = [look(each, "frail").status for each in (one, two)]
        until(lambda: states() == [1, 1])
        calls = len(upstream.journal.calls)
        refused = [look(each, "frail").status for each in (two, one)]
        redis.stop()
        until(lambda: condition(one, "redis")[1] == condition(two, "redis")[1] == "degraded")
        alone = [look(each, "frail").status for each in (two, one)]
        redis.restart()
        until(lambda: condition(one, "redis")[1] == condition(two, "redis")[1] == "ok")
        again = states()
        reset = two.request("POST", "/admin/breakers/frail/reset").status_code
        until(lambda: states() == [0, 0])
        upstream.on("frail")
        healed = [look(each, "frail").status for each in (one, two)]

        assert failed == [500, 500]
        assert refused == alone == [503, 503]
        assert again == [1, 1]
        assert len(upstream.journal.calls) == calls + 2
        assert reset == 204
        assert healed == [200, 200]
        overrides = [[r for r in each.records() if r.action == "breaker_override"] for each in (one, two)]
        assert [len(found) for found in overrides] == [0, 1]
        for each in (one, two):
            turns = [r.details["to"] for r in each.records() if r.action == "breaker_transition"]
            assert turns == ["open", "closed"]
            assert_books_balance(each)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, that it can take away."""
    with new_postgres() as server:
        server.start()
        yield server


@pytest.mark.parametrize("policy", ["degrade", "refuse"])
def test_postgresql_away(gateway: StartGateway, upstream: Upstream, policy: str) -> None:
    """Known keys work (or get 503), memory is 503, nobody with a good key is told 401; then all is well."""
    with postgres() as server:
        running = gateway(
            toml=configuration(upstream, database=policy),
            env={"DATABASE_URL": server.url_of(), "TRISTAR_ADMIN_KEY": ADMIN_KEY},
            workers=2,
        )
        made = running.request(
            "POST", "/admin/keys", json={"name": "k", "scopes": ["chat", "memory:read"]}, headers=ADMIN
        ).json()
        key = {"authorization": f"Bearer {made['key']}"}
        stranger = {"authorization": "Bearer tsk_never_made"}
        before = {
            look(running, "limited", headers=key).status for _ in range(12)
        }  # both workers meet the key
        server.stop()
        until(lambda: up(running, "storage") < 1)
        until(  # every worker looks by itself, once a second
            lambda: (
                policy == "degrade"
                or {look(running, "limited", headers=key).status for _ in range(10)} == {503}
            )
        )
        calls = [look(running, "limited", headers=key, stream=stream) for stream in (False, True) * 3]
        memory = [running.request("GET", "/v1/memory", headers=key).status_code for _ in range(4)]
        unknown = {look(running, "limited", headers=stranger).status for _ in range(4)}
        ready, metric = condition(running, "storage"), up(running, "storage")
        server.start()
        until(lambda: up(running, "storage") == 1 and condition(running, "storage")[1] == "ok")
        until(lambda: look(running, "limited", headers=key).status == 200)
        until(  # every worker looks by itself
            lambda: {running.request("GET", "/v1/memory", headers=key).status_code for _ in range(6)} == {200}
        )

        assert before == {200}
        assert {view.status for view in calls} == ({200} if policy == "degrade" else {503})
        assert set(memory) == {503}
        assert unknown <= {401, 503}
        assert ready == ((200, "degraded") if policy == "degrade" else (503, "down"))
        assert metric == (0.5 if policy == "degrade" else 0)
        assert_told(running, "storage", ["degraded" if policy == "degrade" else "down", "ok"])
        assert_books_balance(running)


def test_a_worker_that_is_replaced_while_postgresql_is_away_knows_what_its_host_knew(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """All workers are killed: keys known before are good for all that follow them, with their terms."""
    with postgres() as server:
        running = gateway(
            toml=configuration(upstream),
            env={"DATABASE_URL": server.url_of(), "TRISTAR_ADMIN_KEY": ADMIN_KEY},
            workers=2,
        )
        told = {
            "name": "k",
            "scopes": ["chat"],
            "llms": ["limited"],
            "llm_limits": {"limited": {"max_concurrent": 9}},
        }
        keys = [running.request("POST", "/admin/keys", json=told, headers=ADMIN).json() for _ in range(2)]
        good, revoked = [{"authorization": f"Bearer {made['key']}"} for made in keys]
        running.request("DELETE", f"/admin/keys/{keys[1]['id']}", headers=ADMIN)
        until(lambda: look(running, "limited", headers=revoked).status == 401)
        time.sleep(1.5)  # the supervisor looks once a second, and shows nobody what it has seen
        server.stop()
        until(lambda: up(running, "storage") < 1)
        former = running.worker_pids()
        for pid in former:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(former) & set(running.worker_pids()) and len(running.worker_pids()) == 2)
        served = {
            look(running, "limited", headers=good, stream=stream).status for stream in (False, True) * 6
        }
        elsewhere = {look(running, "frail", headers=good).status for _ in range(2)}
        refused = {look(running, "limited", headers=revoked).status for _ in range(6)}
        server.start()
        until(lambda: up(running, "storage") == 1)

        assert served == {200}
        assert elsewhere == {403}
        assert refused == {401}
        assert_books_balance(running)


def test_known_keys_outlive_their_store_by_their_grace_and_no_more(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """After `key_grace_s` 503, never 401."""
    with postgres() as server:
        running = gateway(
            toml=configuration(upstream) + "[auth]\nkey_grace_s = 4\n",
            env={"DATABASE_URL": server.url_of(), "TRISTAR_ADMIN_KEY": ADMIN_KEY},
        )
        made = running.request(
            "POST", "/admin/keys", json={"name": "k", "scopes": ["chat"]}, headers=ADMIN
        ).json()
        key = {"authorization": f"Bearer {made['key']}"}
        look(running, "limited", headers=key)
        server.stop()
        seen = [look(running, "limited", headers=key).status]
        deadline = time.monotonic() + 30
        while seen[-1] == 200 and time.monotonic() < deadline:
            time.sleep(0.2)
            seen.append(look(running, "limited", headers=key).status)

        assert set(seen) == {200, 503}
        assert all(before >= after or before == 200 for before, after in pairwise(seen))
        assert_books_balance(running)
