"""Eight processes at one Redis: how far beyond a limit they get together, which is what `Limiter` states."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.limits import replica, servers

REPLICAS = 8
SECONDS = 2.0


@pytest.fixture(params=["one server", "a cluster of three"])
def url(request: pytest.FixtureRequest, redis_server: servers.Server, redis_cluster: str) -> str:
    """A Redis of either kind."""
    return redis_server.url if request.param == "one server" else redis_cluster


Calls = list[tuple[float, float]]


def run(url: str) -> tuple[Calls, int, int, float]:
    """What all replicas were admitted: calls of one key in order, number of the two others'; and seconds."""
    command = [sys.executable, str(Path(replica.__file__)), url, str(SECONDS)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(REPLICAS)
    ]
    try:
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        started = time.monotonic()
        told = [one.stdin for one in running]
        for line in told:
            assert line is not None
            line.write("go\n")
            line.flush()
        results = [json.loads(one.communicate(timeout=60)[0]) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    assert [result["turns"] for result in results] == [[]] * REPLICAS
    assert all(result["calls"] for result in results)
    calls = sorted(tuple(one) for result in results for one in result["calls"])
    busy, paid = (sum(result[name] for result in results) for name in ("busy", "paid"))
    return calls, busy, paid, time.monotonic() - started


def most_at_a_time(calls: Calls) -> int:
    """The largest number of calls in progress at one moment."""
    alive = most = 0
    for _, change in sorted([(begun, 1) for begun, _ in calls] + [(ended, -1) for _, ended in calls]):
        alive += change
        most = max(most, alive)
    return most


def test_eight_processes_stay_within_the_stated_bound(url: str) -> None:
    """Requests and leases exactly; tokens and money by no more than calls in progress took above estimate."""
    calls, busy, paid, elapsed_s = run(url)

    requests, leases = replica.BUSY.allowance.requests_per_minute, replica.KEY.allowance.max_concurrent
    tokens = replica.LLM.allowance.tokens_per_minute
    assert requests is not None
    assert leases is not None
    assert tokens is not None
    refill = elapsed_s / 60
    excess = leases * (replica.ACTUAL.tokens - replica.ESTIMATE.tokens)
    taken = len(calls) * replica.ACTUAL.tokens
    assert requests <= busy <= requests * (1 + refill)
    assert most_at_a_time(calls) <= leases
    assert taken <= tokens * (1 + refill) + excess
    assert taken > tokens - replica.ESTIMATE.tokens  # the limit was reached: the bound was put to the test

    budget = replica.PAYER.allowance.budget_month_microusd
    assert budget is not None
    assert replica.ACTUAL.cost_microusd is not None
    assert replica.ESTIMATE.cost_microusd is not None
    above = replica.ACTUAL.cost_microusd - replica.ESTIMATE.cost_microusd
    paying = replica.PAYER.allowance.max_concurrent  # a settlement on its way is still a call in progress
    assert paying is not None
    assert paid * replica.ACTUAL.cost_microusd <= budget + paying * above
    assert paid * replica.ACTUAL.cost_microusd > budget - replica.ESTIMATE.cost_microusd
