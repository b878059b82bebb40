"""A while of faults, departures, killed workers and a Redis that hangs, dies and returns; then order."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.audit.trials.outcome import Outcome
from tests.contract.storm import Crowd
from tests.gateway import Gateway, document, llm, pool, provider
from tests.gateway.books import imbalances
from tests.gateway.view import CHAT, EMBEDDINGS, MESSAGES
from tests.limits import servers
from tests.upstream import Answer, Cut, Hang, Malformed, ResetBeforeHeaders, Stall, Status, Upstream

_STEPS = (
    Answer(), Answer(), Answer(gap_s=0.01), Status(500), Status(503), Status(429, retry_after="0.2"),
    Answer(fault=Cut(after=4)), Answer(fault=Cut(after=3, how="rst")), Answer(fault=Stall(after=3)),
    Answer(fault=Malformed(at=2)), ResetBeforeHeaders(), Hang(),
)  # fmt: skip
_TIMES: dict[str, Any] = {"timeout_s": 2, "first_token_timeout_s": 0.5, "idle_timeout_s": 0.5, "retries": 1}
_BREAKER: dict[str, Any] = {"failures": 4, "cooldown_s": 0.5, "max_cooldown_s": 2}
_LEASES = "{tristar:limits}:leases:*"
_ADMIN_KEY = "the-admin-key-of-this-chaos"
_SURFACES = (CHAT, CHAT, MESSAGES, EMBEDDINGS)
_PATIENCE_S = 60.0
_GROWTH = 1.3
_DESCRIPTORS = 40
_TASKS = 3
"""Of a process, that come and go by themselves: a look at a store, a connection that is being opened."""


def chaos(folder: Path, *, seconds: float, clients: int, turn_s: float = 1.5, seed: int = 11) -> Outcome:
    """So long, another disturbance every `turn_s`; two workers, one Redis.

    Afterwards the books balance exactly, nothing is in progress, no lease is left, every breaker is
    closed, and tasks, memory and descriptors are where they were after the first few turns. The clients
    ask on several surfaces, for an llm that is hedged and for a pool, with a key that has limits of every
    kind, also on single llms.
    """
    outcome, chance = Outcome(), random.Random(seed)
    crowd = Crowd(models=("main", "both"), surfaces=_SURFACES)
    with Upstream() as sick, Upstream() as well, servers.listening() as (url, redis):
        toml = document(
            provider("sick", sick.base_url),
            provider("well", well.base_url),
            llm(
                "main",
                "sick",
                model="m",
                fallbacks=["spare"],
                max_concurrent=100,
                breaker=_BREAKER,
                hedge_after_s=0.2,
                **_TIMES,
            ),
            llm("spare", "well", model="m", requests_per_minute=1_000_000, breaker=_BREAKER, **_TIMES),
            pool("both", ["main", "spare"], choose="least_busy"),
        )
        env = {"REDIS_URL": url, "TRISTAR_ADMIN_KEY": _ADMIN_KEY}
        with Gateway(folder / "gateway", toml=toml, workers=2, env=env) as gateway:
            crowd.headers = {"authorization": f"Bearer {_key(gateway)}"}
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


def _key(gateway: Gateway) -> str:
    """A key with limits of every kind, none of which is ever reached."""
    terms = {
        "name": "crowd",
        "requests_per_minute": 10**9,
        "tokens_per_minute": 10**9,
        "max_concurrent": 1000,
        "llm_limits": {"main": {"max_concurrent": 90}, "spare": {"tokens_per_minute": 10**9}},
    }
    headers = {"authorization": f"Bearer {_ADMIN_KEY}"}
    answer = gateway.request("POST", "/admin/keys", json=terms, headers=headers)

    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def _judge(gateway: Gateway, redis: servers.Server, before: tuple[int, int, int], outcome: Outcome) -> None:
    def closed() -> bool:
        states = gateway.scrape().series("ailinux_circuit_breaker_state")
        return set(states.values()) == {0.0}

    def calm() -> bool:
        scrape = gateway.scrape()
        return scrape.value("ailinux_active_connections") == scrape.value("ailinux_llm_in_flight") == 0

    def settled() -> bool:
        with redis.client() as client:
            return not any(client.zcard(name) for name in client.scan_iter(_LEASES))

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
    idle = _TASKS * len(gateway.processes())
    outcome.require(_within(lambda: _tasks(gateway) <= before[2] + idle), "tasks are left")
    memory, descriptors, tasks = _size(gateway)
    outcome.figures |= {
        "memory before": before[0] >> 20,
        "memory after": memory >> 20,
        "descriptors before": before[1],
        "descriptors after": descriptors,
        "tasks before": before[2],
        "tasks after": tasks,
        "hedged": int(gateway.scrape().value("ailinux_llm_fallbacks_total", reason="hedge")),
    }
    outcome.require(memory <= before[0] * _GROWTH, "memory has grown")
    outcome.require(descriptors <= before[1] + _DESCRIPTORS, "descriptors are left open")


def _asked(gateway: Gateway) -> bool:
    """A half-open breaker needs a call to close."""
    headers = {"authorization": f"Bearer {_ADMIN_KEY}"}
    return all(gateway.chat(model, headers=headers).status_code == 200 for model in ("main", "spare"))


def _within(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _size(gateway: Gateway) -> tuple[int, int, int]:
    """Resident bytes, open descriptors and tasks of all its processes."""
    open_ones = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in gateway.processes())
    return gateway.resident_bytes(), open_ones, _tasks(gateway)


def _tasks(gateway: Gateway) -> int:
    return int(gateway.scrape().value("ailinux_event_loop_tasks"))
