"""Budgets in US dollars: never beaten by requests at once, never forgotten by a restart."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import View, look
from tests.limits import servers
from tests.upstream import Answer, Status, Upstream

ADMIN_KEY = "the-admin-key-of-these-tests"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
CENT = {"input": 0.0, "output": 10_000.0}
"""One output token costs a cent."""


def configuration(upstream: Upstream) -> str:
    """A priced llm, one without a price, and routes over both."""
    return document(
        provider("p", upstream.base_url),
        llm("paid", "p", price_usd_per_mtok=CENT),
        llm("unpriced", "p"),
        llm("free", "p", price_usd_per_mtok={"input": 0, "output": 0}),
        llm("mixed", "p", retries=0, fallbacks=["paid"]),
    )


def start(gateway: StartGateway, upstream: Upstream, **told: object) -> Gateway:
    """A gateway whose access is closed."""
    env = {"TRISTAR_ADMIN_KEY": ADMIN_KEY} | dict(told.pop("env", {}))  # type: ignore[call-overload]  # test values
    return gateway(toml=configuration(upstream), env=env, **told)


def new_key(gateway: Gateway, **limits: object) -> str:
    """A key that may chat."""
    answer = gateway.request("POST", "/admin/keys", headers=ADMIN, json={"name": "one", **limits})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def ask(gateway: Gateway, key: str, model: str = "paid", tokens: int = 10, *, stream: bool = False) -> View:
    """One chat of at most so many tokens."""
    bearer = {"authorization": f"Bearer {key}"}
    return look(gateway, model, stream=stream, headers=bearer, max_tokens=tokens)


def midnight(days: int = 1) -> datetime:
    """The next but `days` - 1 midnight, UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_spent_budget_says_when_it_renews(gateway: StartGateway, upstream: Upstream, workers: int) -> None:
    """Two calls of 10 cents are a budget of 20; the third is told 429 `budget_exceeded` until midnight."""
    upstream.on("paid", Answer(tokens=(5, 10)))
    running = start(gateway, upstream, workers=workers)
    key = new_key(running, budget_usd_per_day=0.2)
    served = [ask(running, key, stream=stream) for stream in (True, False)]
    refused = ask(running, key)
    record = running.record_of(refused.trace_id)
    left_s = (midnight() - datetime.now(UTC)).total_seconds()

    assert [view.complete for view in served] == [True, True]
    assert refused.status == 429
    assert refused.error is not None
    assert refused.error["code"] == "budget_exceeded"
    assert "0.2 USD per day" in refused.error["message"]
    assert midnight().strftime("%Y-%m-%dT00:00:00Z") in refused.error["message"]
    assert abs(int(refused.headers["retry-after"]) - left_s) < 30
    assert refused.headers["x-should-retry"] == "false" or left_s < 60
    assert (record["outcome"], record.details["limit"]) == ("refused", "budget_day")
    assert (record.details["rejected_by"], record.details["rejected_scope"]) == ("gateway", "budget")
    rejections = running.scrape().series("ailinux_rate_limit_rejections_total", scope="budget")
    assert sum(rejections.values()) == 1
    assert ask(running, key, "free").complete
    assert len(upstream.journal.of("paid")) == 2
    running.stop()
    assert [one["user_id"] for one in running.records() if one.action == "budget_exceeded"] == [
        record["user_id"]
    ]


def test_requests_at_once_do_not_beat_a_budget(gateway: StartGateway, upstream: Upstream) -> None:
    """Twelve at once over two workers, for a budget of five: exactly five are served."""
    upstream.on("paid", Answer(tokens=(5, 10), first_gap_s=0.3))
    running = start(gateway, upstream, workers=2)
    key = new_key(running, budget_usd_per_month=0.5)
    with ThreadPoolExecutor(12) as clients:
        views = list(clients.map(lambda _: ask(running, key), range(12)))

    assert sorted(view.status for view in views) == [200] * 5 + [429] * 7
    assert ask(running, key).status == 429
    assert_books_balance(running)


def test_what_was_reserved_and_not_used_is_given_back(gateway: StartGateway, upstream: Upstream) -> None:
    """Ten tokens are reserved, one is used: of 20 cents, eleven calls leave nine."""
    upstream.on("paid", Answer(tokens=(5, 1)))
    running = start(gateway, upstream)
    key = new_key(running, budget_usd_per_day=0.2)

    assert [ask(running, key).status for _ in range(11)] == [200] * 11
    assert ask(running, key, tokens=10).status == 429
    assert ask(running, key, tokens=9).complete


def test_a_request_larger_than_the_budget_is_told_not_to_come_back(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """No Retry-After: no midnight helps."""
    running = start(gateway, upstream)
    view = ask(running, new_key(running, budget_usd_per_day=0.2), tokens=1000)

    assert view.status == 429
    assert "retry-after" not in view.headers
    assert view.headers["x-should-retry"] == "false"


def test_an_unpriced_llm_is_left_out_under_a_budget(gateway: StartGateway, upstream: Upstream) -> None:
    """Alone it is refused; on a route the priced ones serve; the operator may allow it."""
    upstream.on("mixed", Status(500))
    running = start(gateway, upstream)
    strict = new_key(running, budget_usd_per_day=1)
    lenient = new_key(running, budget_usd_per_day=1, allow_unpriced=True)
    alone = ask(running, strict, "unpriced")
    routed = ask(running, strict, "mixed")
    before = len(upstream.journal.of("mixed"))
    allowed = [ask(running, lenient, "unpriced"), ask(running, lenient, "mixed")]

    assert alone.status == 403
    assert alone.error is not None
    assert alone.error["code"] == "unpriced_model"
    assert (routed.llm, before) == ("paid", 0)
    assert [view.llm for view in allowed] == ["unpriced", "paid"]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_a_restart_forgets_nothing_of_a_month(gateway: StartGateway, upstream: Upstream, how: str) -> None:
    """Whether it ended well or was killed two seconds after the last call."""
    upstream.on("paid", Answer(tokens=(5, 10)))
    running = start(gateway, upstream, workers=1)
    key = new_key(running, budget_usd_per_month=0.3)
    first = [ask(running, key).status for _ in range(2)]
    if how == "SIGTERM":
        running.stop()
    else:
        time.sleep(2.0)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
    again = start(gateway, upstream)
    then = [ask(again, key).status for _ in range(2)]

    assert first == [200, 200]
    assert then == [200, 429]


def test_a_budget_holds_over_replicas_and_while_redis_is_away(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """Shared through Redis; without it each goes on from what it had heard."""
    upstream.on("paid", Answer(tokens=(5, 10)))
    with servers.listening() as (url, redis):
        running = start(gateway, upstream, env={"REDIS_URL": url})
        key = new_key(running, budget_usd_per_month=0.4)
        shared = [ask(running, key).status for _ in range(3)]
        redis.stop()
        alone = [ask(running, key).status for _ in range(2)]

        assert shared == [200, 200, 200]
        assert alone == [200, 429]
        assert_books_balance(running)
