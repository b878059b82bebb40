"""A while of faults, departures, killed workers and a Redis that hangs, dies and returns; then order."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.audit.trials.outcome import Outcome
from tests.contract.storm import Crowd
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.books import imbalances
from tests.limits import servers
from tests.upstream import Answer, Cut, Hang, Malformed, ResetBeforeHeaders, Stall, Status, Upstream

_STEPS = (
    Answer(), Answer(), Answer(gap_s=0.01), Status(500), Status(503), Status(429, retry_after="0.2"),
    Answer(fault=Cut(after=4)), Answer(fault=Cut(after=3, how="rst")), Answer(fault=Stall(after=3)),
    Answer(fault=Malformed(at=2)), ResetBeforeHeaders(), Hang(),
)  # fmt: skip
_TIMES: dict[str, Any] = {"timeout_s": 2, "first_token_timeout_s": 0.5, "idle_timeout_s": 0.5, "retries": 1}
_BREAKER: dict[str, Any] = {"failures": 4, "cooldown_s": 0.5, "max_cooldown_s": 2}
_LEASES = "{tristar:limits}:leases:llm:main"
_PATIENCE_S = 60.0
_GROWTH = 1.3
_DESCRIPTORS = 40


def chaos(folder: Path, *, seconds: float, clients: int, turn_s: float = 1.5, seed: int = 11) -> Outcome:
    """So long, another disturbance every `turn_s`; two workers, one Redis.

    Afterwards the books balance exactly, nothing is in progress, no lease is left, every breaker is
    closed, and memory and descriptors are where they were after the first few turns.
    """
    outcome, chance, crowd = Outcome(), random.Random(seed), Crowd()
    with Upstream() as sick, Upstream() as well, servers.listening() as (url, redis):
        toml = document(
            provider("sick", sick.base_url),
            provider("well", well.base_url),
            llm("main", "sick", fallbacks=["spare"], max_concurrent=100, breaker=_BREAKER, **_TIMES),
            llm("spare", "well", requests_per_minute=1_000_000, breaker=_BREAKER, **_TIMES),
        )
        with Gateway(folder / "gateway", toml=toml, workers=2, env={"REDIS_URL": url}) as gateway:
            crowd.gateway = gateway
            with crowd.asking(clients):
                crowd.wait_for(10)
                before = _size(gateway)
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    sick.default = chance.choice(_STEPS)
                    _disturb(chance, gateway, redis, outcome)
                    time.sleep(turn_s)
                    sick.journal.calls.clear()
                    well.journal.calls.clear()
                redis.resume()
                sick.default = Answer()
                crowd.wait_for(10)
            outcome.figures |= {"complete": len(crowd.complete), "failed": crowd.failed, "left": crowd.left}
            _judge(gateway, redis, before, outcome)
    return outcome


def _disturb(chance: random.Random, gateway: Gateway, redis: servers.Server, outcome: Outcome) -> None:
    """One of: a worker is killed, Redis hangs, goes on, is gone and back with nothing; or none."""
    what = chance.choice(["kill", "pause", "resume", "restart", "nothing", "nothing"])
    outcome.count(what)
    if what == "kill":
        gateway.kill_worker()
    elif what == "pause":
        redis.pause()
    elif what == "resume":
        redis.resume()
    elif what == "restart":
        redis.restart()


def _judge(gateway: Gateway, redis: servers.Server, before: tuple[int, int], outcome: Outcome) -> None:
    def closed() -> bool:
        states = gateway.scrape().series("ailinux_circuit_breaker_state")
        return set(states.values()) == {0.0}

    def calm() -> bool:
        scrape = gateway.scrape()
        return scrape.value("ailinux_active_connections") == scrape.value("ailinux_llm_in_flight") == 0

    def settled() -> bool:
        with redis.client() as client:
            return bool(client.zcard(_LEASES) == 0)

    def shared() -> bool:
        return gateway.scrape().value("ailinux_dependency_up", dependency="redis") == 1

    outcome.require(_within(shared), "redis is back, and not used")
    outcome.require(_within(calm), "something is still in progress")
    outcome.require(_within(settled), "leases are left in Redis")
    outcome.require(_within(lambda: _asked(gateway) and closed()), "a breaker is not closed")
    outcome.require(
        _within(lambda: not imbalances(gateway.scrape(), gateway.records())),
        f"the books do not balance: {imbalances(gateway.scrape(), gateway.records())}",
    )
    memory, descriptors = _size(gateway)
    outcome.figures |= {
        "memory before": before[0] >> 20,
        "memory after": memory >> 20,
        "descriptors before": before[1],
        "descriptors after": descriptors,
    }
    outcome.require(memory <= before[0] * _GROWTH, "memory has grown")
    outcome.require(descriptors <= before[1] + _DESCRIPTORS, "descriptors are left open")


def _asked(gateway: Gateway) -> bool:
    """A half-open breaker needs a call to close."""
    return all(gateway.chat(model).status_code == 200 for model in ("main", "spare"))


def _within(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _size(gateway: Gateway) -> tuple[int, int]:
    """Resident bytes, and open descriptors, of all its processes."""
    open_ones = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.processes())
    return gateway.resident_bytes(), open_ones
