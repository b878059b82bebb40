"""The store in a real Redis: the same answers as the limiter of one process, whatever the server does."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from tests.limits import servers
from tests.limits.histories import START_MS, Advance, Reserve, Settle, Step, steps

from tristar.clock import ManualClock, SystemClock
from tristar.errors import SettingsInvalid
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.limiter import NOT_MADE, Reservation
from tristar.limits.local import LocalLimiter
from tristar.limits.redis import RedisStore
from tristar.limits.shared import DEADLINE_S, SharedLimiter
from tristar.limits.store import Spending
from tristar.limits.usage import Refusal, Standings
from tristar.sharing import StoreUnavailable

LEASE_S = 600.0
PATIENT_S = 20.0
"""A deadline that a busy test machine does not miss."""
NEED = Amount(10, 10)
MANY = (
    Subject("key:a", "key", Allowance(requests_per_minute=100, tokens_per_minute=10_000, max_concurrent=50)),
    Subject("llm:b", "llm", Allowance(requests_per_minute=200, budget_month_microusd=100_000)),
)
ONE_AT_A_TIME = (Subject("key:one", "key", Allowance(max_concurrent=1)),)


@pytest.fixture
def empty(redis_server: servers.Server) -> servers.Server:
    """A server that knows nothing."""
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    return redis_server


class Lane:
    """A shared limiter and what it told."""

    def __init__(self, url: str, deadline_s: float) -> None:
        self.turns: list[str] = []
        self.turned = asyncio.Event()
        self.store = RedisStore(url)
        self.limiter = SharedLimiter(
            self.store,
            LocalLimiter(SystemClock()),
            self._told,
            deadline_s=deadline_s,
            probe_s=0.01,
            open_s=PATIENT_S,
        )

    def _told(self, reason: str) -> None:
        self.turns.append(reason)
        self.turned.set()

    async def until_turns(self, count: int) -> None:
        """Wait until so many were told."""
        async with asyncio.timeout(20):
            while len(self.turns) < count:
                self.turned.clear()
                await self.turned.wait()


@asynccontextmanager
async def lane(url: str, deadline_s: float = PATIENT_S) -> AsyncIterator[Lane]:
    """A connected one, closed at the end."""
    made = Lane(url, deadline_s)
    await made.limiter.open()
    try:
        yield made
    finally:
        await made.limiter.close()


async def admit(limiter: SharedLimiter, subjects: tuple[Subject, ...]) -> Reservation:
    """One reservation, which there must be."""
    verdict = await limiter.reserve(subjects, NEED, LEASE_S)
    assert isinstance(verdict, Reservation)
    return verdict


@settings(max_examples=60, deadline=None)
@given(history=steps)
def test_it_answers_as_the_limiter_of_one_process(redis_server: servers.Server, history: list[Step]) -> None:
    """Every history, field by field: verdict, scope, limit, wait and standings."""
    asyncio.run(_compare(redis_server, history))


async def _compare(server: servers.Server, history: list[Step]) -> None:
    with server.client() as client:
        client.flushall()
    clock, now_ms = ManualClock(START_MS / 1000), START_MS
    local, store = LocalLimiter(clock), RedisStore(server.url, clock_ms=lambda: now_ms)
    await store.open()
    pairs: list[tuple[Reservation, Reservation]] = []
    try:
        for n, step in enumerate(history):
            match step:
                case Advance(ms):
                    clock.advance(ms / 1000)
                    now_ms += ms
                case Reserve(subjects, need, lease_ms):
                    expected = local.reserve_now(subjects, need, lease_ms / 1000)
                    mine = Reservation(f"r{n}", subjects, need, Standings(), shared=True)
                    verdict = await store.reserve(mine, lease_ms / 1000)
                    assert verdict.standings == expected.standings
                    if isinstance(expected, Refusal):
                        assert verdict.refusal == expected
                    else:
                        assert verdict.refusal is None
                        pairs.append((expected, mine))
                case Settle(which, actual) if which < len(pairs):
                    local.settle(pairs[which][0], actual)
                    if not pairs[which][1].settled:
                        await store.settle(pairs[which][1], actual)
                case Settle():
                    pass
    finally:
        await store.close()


async def test_a_settlement_may_be_repeated(empty: servers.Server) -> None:
    """Sent twice, it counts once."""
    subjects = (Subject("key:a", "key", Allowance(tokens_per_minute=100)),)
    store = RedisStore(empty.url)
    await store.open()
    reservation = Reservation("r1", subjects, Amount(50), Standings(), shared=True)
    await store.reserve(reservation, LEASE_S)

    for _ in range(5):
        await store.settle(reservation, Amount(30))
    verdict = await store.reserve(Reservation("r2", subjects, Amount(1), Standings(), shared=True), LEASE_S)
    await store.close()

    assert verdict.standings.tokens is not None
    assert 69 <= verdict.standings.tokens.remaining <= 70


async def test_a_request_that_was_never_sent_is_given_back(empty: servers.Server) -> None:
    """Once, however often it is said."""
    subjects = (Subject("key:a", "key", Allowance(2, 100, 2)),)
    store = RedisStore(empty.url, clock_ms=lambda: START_MS)
    await store.open()
    for n in range(2):
        reservation = Reservation(f"r{n}", subjects, Amount(50), Standings(), shared=True)
        await store.reserve(reservation, LEASE_S)
    for _ in range(2):
        await store.settle(reservation, NOT_MADE)
    later = [Reservation(f"l{n}", subjects, Amount(50), Standings(), shared=True) for n in range(2)]
    refusals = [(await store.reserve(one, LEASE_S)).refusal for one in later]
    await store.close()

    assert refusals[0] is None
    assert refusals[1] is not None


async def test_a_reservation_and_a_settlement_are_one_call_each(empty: servers.Server) -> None:
    """Whatever number of subjects; the server's own count of commands says so."""
    async with lane(empty.url) as made:
        limiter = made.limiter
        limiter.settle(await admit(limiter, MANY), NEED)
        await asyncio.sleep(0.05)
        with empty.client() as client:
            client.config_resetstat()

        reservation = await admit(limiter, MANY)
        await made.store.settle(reservation, NEED)

        with empty.client() as client:
            stats = client.info("commandstats")
    assert isinstance(stats, dict)
    calls = {name: told["calls"] for name, told in stats.items() if "eval" in name}
    assert calls == {"cmdstat_evalsha": 2}


async def test_a_look_tells_the_use_and_changes_nothing(empty: servers.Server) -> None:
    """Of every subject in its place; one that nobody used is all zeroes."""
    async with lane(empty.url) as made:
        await admit(made.limiter, MANY)
        subjects = (*MANY, *ONE_AT_A_TIME)
        first, second = [await made.limiter.usages(subjects) for _ in range(2)]

    told = [(usage.concurrent, usage.held_tokens, usage.held_microusd) for usage in first]
    assert told == [(1, 10, 10), (1, 10, 10), (0, 0, 0)]
    assert [usage.concurrent for usage in second] == [1, 1, 0]


async def test_keys_go_when_nothing_is_owed(empty: servers.Server) -> None:
    """Every key has an end: a lease's, a bucket's, or a budget's period."""
    async with lane(empty.url) as made:
        await admit(made.limiter, MANY)
        await admit(made.limiter, (Subject("key:c", "key", Allowance(requests_per_minute=60)),))

    with empty.client() as client:
        ends = {bytes(key).decode(): client.pttl(key) for key in client.keys("*")}

    assert set(ends) == {
        f"{{tristar:limits}}:{kind}:{name}"
        for kind in ("spent", "leases")
        for name in ("key:a", "llm:b", "key:c")
    }
    assert 600_000 < ends["{tristar:limits}:spent:key:c"] <= 602_000
    assert ends["{tristar:limits}:leases:llm:b"] > 31 * 86_400_000


def test_a_missing_package_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with its variable and the way out, without the password."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(SettingsInvalid) as raised:
        RedisStore("redis://:sk-canary-password@cache:6379/0")

    assert "REDIS_URL" in str(raised.value)
    assert "pip install" in str(raised.value)
    assert "canary" not in str(raised.value)


async def test_no_secret_of_the_url_is_told() -> None:
    """Neither in the reason nor in a repr."""
    url = "redis://someone:hunter2@127.0.0.1:1/0"
    store = RedisStore(url)

    with pytest.raises(StoreUnavailable) as caught:
        await store.open()

    assert "hunter2" not in f"{caught.value} {store!r}"


async def test_a_cluster_holds_the_limits_on_one_node(redis_cluster: str) -> None:
    """Key, llm and both in one atomic call, though the slots are spread over three nodes."""
    async with lane(redis_cluster) as made:
        verdicts = [await made.limiter.reserve(MANY, NEED, LEASE_S) for _ in range(60)]

        assert sum(isinstance(one, Reservation) for one in verdicts) == 50
        assert made.turns == []


async def test_a_hanging_server_keeps_nobody_waiting(empty: servers.Server) -> None:
    """SIGSTOP: the deadline ends the wait, the host's own limits serve, one turn is told; then it is back."""
    async with lane(empty.url, DEADLINE_S) as made:
        limiter = made.limiter
        limiter.settle(await admit(limiter, ONE_AT_A_TIME), NEED)
        before = await admit(limiter, MANY)
        empty.pause()
        started = time.monotonic()
        try:
            during = await asyncio.gather(*(limiter.reserve(MANY, NEED, LEASE_S) for _ in range(40)))
            limiter.settle(before, NEED)
            waited_s = time.monotonic() - started
            at_once = limiter.reserve_now(MANY, NEED, LEASE_S)
        finally:
            empty.resume()
        assert made.turns == ["no answer within 50 ms"]
        assert waited_s < 5.0  # a deadline of 50 ms on a busy machine; without one it would not end
        assert all(isinstance(one, Reservation) and not one.shared for one in [*during, at_once])
        await made.until_turns(2)

        assert made.turns == ["no answer within 50 ms", ""]
        assert (await admit(limiter, ONE_AT_A_TIME)).shared

    with empty.client() as client:
        left = client.zcard("{tristar:limits}:leases:key:a")
    assert left == 0  # whatever the hanging server did in the end, no lease of it is left


async def test_a_server_that_forgot_everything_is_taught_again(empty: servers.Server) -> None:
    """Restarted between two requests, its connections and the script are gone: nobody notices."""
    async with lane(empty.url) as made:
        await admit(made.limiter, ONE_AT_A_TIME)
        await asyncio.to_thread(empty.restart)

        assert (await admit(made.limiter, ONE_AT_A_TIME)).shared
        assert made.turns == []


async def test_a_flushed_script_is_sent_again_without_a_turn(empty: servers.Server) -> None:
    """NOSCRIPT is not a failure."""
    async with lane(empty.url) as made:
        with empty.client() as client:
            client.script_flush()

        assert (await admit(made.limiter, MANY)).shared
        assert made.turns == []


async def test_a_server_that_refuses_to_write_counts_as_away(empty: servers.Server) -> None:
    """Out of memory: the host's own limits serve, and the reason is told."""
    async with lane(empty.url) as made:
        with empty.client() as client:
            client.config_set("maxmemory", "1")
            try:
                verdict = await admit(made.limiter, MANY)
            finally:
                client.config_set("maxmemory", "0")

        assert not verdict.shared
        assert "OOM" in made.turns[0] or "OutOfMemory" in made.turns[0]


async def test_evicted_leases_do_not_hold_tokens_for_ever(empty: servers.Server) -> None:
    """A server that throws keys away loses counts; it does not block."""
    subjects = (Subject("key:a", "key", Allowance(tokens_per_minute=10)),)
    async with lane(empty.url) as made:
        await admit(made.limiter, subjects)
        with empty.client() as client:
            client.delete("{tristar:limits}:leases:key:a")

        assert (await admit(made.limiter, subjects)).shared


async def test_budgets_of_the_store_hold_while_it_is_away(empty: servers.Server) -> None:
    """A hiccup does not give a spent budget again."""
    subjects = (Subject("key:rich", "key", Allowance(budget_month_microusd=15)),)
    async with lane(empty.url, DEADLINE_S) as made:
        await made.store.settle(await admit(made.limiter, subjects), NEED)
        assert isinstance(await made.limiter.reserve(subjects, NEED, LEASE_S), Refusal)
        empty.pause()
        try:
            verdict = await made.limiter.reserve(subjects, NEED, LEASE_S)
        finally:
            empty.resume()

        assert isinstance(verdict, Refusal)
        assert verdict.limit == "budget_month"


def test_the_scripts_calendar_is_the_calendar(redis_server: servers.Server) -> None:
    """Its months, over leap years and centuries, are Python's."""

    async def months() -> None:
        subjects = (Subject("key:when", "key", Allowance(budget_month_microusd=10)),)
        now_ms = 0
        store = RedisStore(redis_server.url, clock_ms=lambda: now_ms)
        await store.open()
        for day in [*range(11_000, 11_800, 7), *range(20_300, 22_000, 13), 47_540, 47_541]:
            now_ms = day * 86_400_000
            reservation = Reservation(f"d{day}", subjects, Amount(0), Standings(), shared=True)
            (spending,) = (await store.reserve(reservation, 1.0)).spendings
            with redis_server.client() as client:
                stored = client.hget("{tristar:limits}:spent:key:when", "m")
            assert isinstance(spending, Spending)
            assert stored == str(spending.month).encode()
        await store.close()

    asyncio.run(months())
