"""Limits over several gateways that share a Redis, and without it while it is away."""

import time
from collections.abc import Callable

from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.limits import servers
from tests.upstream import Upstream

LIMIT = 4


def configuration(upstream: Upstream) -> str:
    """Two llms, each limited."""
    return document(
        provider("p", upstream.base_url),
        llm("fast", "p", requests_per_minute=LIMIT),
        llm("other", "p", requests_per_minute=LIMIT),
    )


def redis_of(gateway: Gateway) -> dict[str, object]:
    """What readiness says of Redis."""
    answer = gateway.request("GET", "/health/ready")
    assert answer.status_code == 200
    condition: dict[str, object] = answer.json()["dependencies"]["redis"]
    return condition


def until(done: Callable[[], bool], within_s: float = 30.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_limit_holds_over_all_replicas_and_in_each_while_redis_is_away(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """Shared; then each host's own, degraded and said once; then shared again."""
    with servers.listening() as (url, redis):
        replicas = [
            gateway(toml=configuration(upstream), workers=n, env={"REDIS_URL": url}, name=f"replica{n}")
            for n in (1, 2)
        ]
        shared = [look(replicas[n % 2], "fast").status for n in range(LIMIT + 2)]
        well = [redis_of(replica)["status"] for replica in replicas]
        redis.stop()
        alone = [[look(replica, "other").status for _ in range(LIMIT + 1)] for replica in replicas]
        unwell = [redis_of(replica)["status"] for replica in replicas]
        up = [replica.scrape().value("ailinux_dependency_up", dependency="redis") for replica in replicas]
        redis.restart()
        until(lambda: all(redis_of(replica)["status"] == "ok" for replica in replicas))
        again = look(replicas[1], "fast").status
        turns = [
            [record.details["to"] for record in replica.records() if record.action == "dependency_transition"]
            for replica in replicas
        ]

        assert shared == [200] * LIMIT + [429] * 2
        assert well == ["ok", "ok"]
        assert alone == [[200] * LIMIT + [429]] * 2
        assert unwell == ["degraded", "degraded"]
        assert up == [0.5, 0.5]
        assert again == 200
        for told in turns:  # a busy machine may turn once more by itself
            assert told == ["degraded", "ok"] * max(1, len(told) // 2)
        for replica in replicas:
            assert_books_balance(replica)


def test_a_redis_that_is_away_keeps_no_gateway_from_starting(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """It serves with limits of its own, and says so."""
    running = gateway(toml=configuration(upstream), env={"REDIS_URL": "redis://127.0.0.1:1/0"})

    assert [look(running, "fast").status for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    assert redis_of(running)["status"] == "degraded"
