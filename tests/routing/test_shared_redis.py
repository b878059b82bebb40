"""Breakers in a real Redis: the script keeps the rules, hosts keep in step, whatever the server does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from tests.limits import servers
from tests.routing.model import LEASE_S, POLICY, Advance, Begin, End, Model, Override, Step, histories

from tristar.clock import ManualClock, SystemClock
from tristar.routing.board import BreakerBoard
from tristar.routing.breaker import Breaker, State
from tristar.routing.catalog import BreakerPolicy, Catalog, Llm, Provider
from tristar.routing.redis import RedisBreakers
from tristar.routing.shared import DEADLINE_S, SharedBoard
from tristar.routing.store import Ill, Known, Merge, Nothing, Order, Probe, Well
from tristar.sharing import StoreUnavailable

PATIENT_S = 20.0
"""A deadline that a busy test machine does not miss."""
QUICK = BreakerPolicy(failures=3, cooldown_s=0.3, max_cooldown_s=0.3)
LASTING = BreakerPolicy(failures=3, cooldown_s=600, max_cooldown_s=600)


@pytest.fixture
def empty(redis_server: servers.Server) -> servers.Server:
    """A server that knows nothing."""
    with redis_server.client() as client:
        client.flushall()
        client.script_flush()
    return redis_server


@settings(max_examples=60, deadline=None)
@given(steps=histories)
def test_the_script_agrees_with_the_reference_model(redis_server: servers.Server, steps: list[Step]) -> None:
    """State, admission and waiting time of a host that follows it, after every step."""
    with redis_server.client() as client:
        client.flushall()
    asyncio.run(_compare(redis_server.url, steps))


async def _compare(url: str, steps: list[Step]) -> None:
    clock, model, out = ManualClock(), Model(), list[tuple[int, int]]()
    mirror = Breaker(POLICY, clock, lambda _before, _now: None)
    store = RedisBreakers(url, clock_ms=lambda: round(clock.time() * 1000))
    await store.open()
    known = Known()

    async def tell(order: Order) -> int | None:
        nonlocal known
        news = await store.exchange([order], known)
        known = news.known
        for decision in news.changes:
            mirror.follow(decision, news.now_ms)
        return news.permits[0] if news.permits else None

    try:
        for step in steps:
            match step:
                case Begin():
                    future = asyncio.get_running_loop().create_future()
                    permit, period = await tell(Probe("a", POLICY, LEASE_S, future)), model.begin()
                    assert (permit is None) is (period is None)
                    if permit is not None and period is not None:
                        out.append((permit, period))
                case End(which, how, retry_after_s) if which < len(out):
                    permit, period = out.pop(which)
                    await tell(_ended(permit, how, retry_after_s))
                    model.end(period, how, retry_after_s)
                case Advance(seconds):
                    clock.advance(seconds)
                    model.now += seconds
                case Override(forced):
                    (mirror.force_open if forced else mirror.reset)()
                    model.override(forced=forced)
                    decision = mirror.decision("a")
                    assert decision is not None
                    await tell(Merge("a", POLICY, decision))

            assert mirror.state is model.state()
            assert mirror.wait_s() == pytest.approx(model.wait_s(), abs=0.002)
    finally:
        await store.close()


def _ended(permit: int, how: str, retry_after_s: int | None) -> Order:
    if how == "well":
        return Well("a", POLICY, permit, 1)
    return Ill("a", POLICY, permit, retry_after_s) if how == "ill" else Nothing("a", POLICY, permit)


class Replica:
    """The shared breakers of one host, and what it told."""

    def __init__(self, url: str, policy: BreakerPolicy, deadline_s: float = PATIENT_S) -> None:
        self.turns: list[str] = []
        self.transitions: list[str] = []
        provider = Provider("p", "openai", "http://x")
        catalog = Catalog([Llm(name, provider, name, breaker=policy) for name in ("a", "b")])
        self.board = SharedBoard(
            BreakerBoard(catalog, SystemClock(), self._changed),
            RedisBreakers(url),
            self.turns.append,
            deadline_s=deadline_s,
            poll_s=0.02,
            patience_s=PATIENT_S,
            probe_s=0.05,
        )

    def _changed(self, llm_id: str, before: State, now: State) -> None:
        if before is not now:
            self.transitions.append(f"{llm_id} {now.name}")

    def state(self, llm_id: str = "a") -> State:
        """As this host sees it."""
        return self.board.states()[llm_id]

    def fail(self, times: int = 1, llm_id: str = "a") -> None:
        """So many calls that were let through freely failed."""
        for _ in range(times):
            permit = self.board.free_permit(llm_id)
            assert permit is not None
            self.board.failed(llm_id, permit, None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - what it waits for is elsewhere
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def replicas(
    url: str, policy: BreakerPolicy = LASTING, deadline_s: float = PATIENT_S, count: int = 2
) -> AsyncIterator[list[Replica]]:
    """Connected ones, closed at the end."""
    made = [Replica(url, policy, deadline_s) for _ in range(count)]
    for one in made:
        await one.board.open()
    try:
        yield made
    finally:
        for one in made:
            await one.board.close()


@pytest.fixture(params=["one server", "a cluster of three"])
def url(request: pytest.FixtureRequest, empty: servers.Server, redis_cluster: str) -> str:
    """A Redis of either kind; the cluster's breakers of an earlier test have been closed."""
    return empty.url if request.param == "one server" else redis_cluster


async def test_failures_of_all_hosts_count_together(url: str) -> None:
    """Three in a row, through three hosts, open it everywhere; a success anywhere begins the row anew."""
    async with replicas(url, count=3) as hosts:
        one, two, three = hosts
        for host in hosts:
            host.board.override("a", forced=False)  # the cluster is not flushed between tests
        await asyncio.sleep(0.1)
        await one.until(lambda: len({host.board.free_permit("a") for host in hosts}) == 1)
        one.fail(2)
        await asyncio.sleep(0.2)  # enough for the two to be there first
        permit = two.board.free_permit("a")
        assert permit is not None
        two.board.succeeded("a", permit)
        await asyncio.sleep(0.2)
        one.fail()
        two.fail()
        await asyncio.sleep(0.2)
        still_closed = [host.state() for host in hosts]
        three.fail()
        await one.until(lambda: all(host.state() is State.OPEN for host in hosts))

        assert still_closed == [State.CLOSED] * 3
        assert [host.turns for host in hosts] == [[]] * 3
        assert all(host.board.free_permit("a") is None for host in hosts)
        assert all(host.state("b") is State.CLOSED for host in hosts)
        one.board.override("a", forced=False)
        await one.until(lambda: all(host.state() is State.CLOSED for host in hosts))


async def test_one_probe_at_a_time_over_all_hosts(empty: servers.Server) -> None:
    """Its success closes the breaker for all; its end without a word lets another go."""
    async with replicas(empty.url, QUICK) as (one, two):
        one.fail(3)
        await two.until(lambda: two.state() is State.OPEN)
        await two.until(lambda: State.OPEN not in {one.state(), two.state()})
        permits = [await one.board.admit("a"), await two.board.admit("a"), await one.board.admit("a")]
        first = permits[0]
        assert first is not None
        one.board.abandoned("a", first)
        second = await two.board.admit("a")
        assert second is not None
        two.board.succeeded("a", second)
        await one.until(lambda: one.state() is State.CLOSED and two.state() is State.CLOSED)

        assert permits[1:] == [None, None]
        assert one.transitions == two.transitions == ["a OPEN", "a HALF_OPEN", "a CLOSED"]


async def test_an_order_is_in_force_here_at_once_and_elsewhere_soon(empty: servers.Server) -> None:
    """Forced open outlives cooldowns and restarts of hosts; a reset is for all."""
    async with replicas(empty.url, QUICK) as (one, two):
        one.board.override("a", forced=True)
        here = one.state()
        await two.until(lambda: two.state() is State.OPEN)
        async with replicas(empty.url, QUICK, count=1) as (late,):
            newcomer = late.state()
        two.board.override("a", forced=False)
        await one.until(lambda: one.state() is State.CLOSED)

        assert (here, newcomer) == (State.OPEN, State.OPEN)
        assert one.board.override("nobody", forced=True) is False


async def test_a_hanging_server_keeps_nobody_waiting(empty: servers.Server) -> None:
    """SIGSTOP: an asker is answered after its deadline, by this host's own; then Redis is used again."""
    async with replicas(empty.url, QUICK, DEADLINE_S, count=1) as (one,):
        one.fail(3)
        await one.until(lambda: one.state() is State.HALF_OPEN)
        empty.pause()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            permits = await asyncio.gather(*(one.board.admit("a") for _ in range(40)))
            waited_s = loop.time() - began
            later = await one.board.admit("a")
        finally:
            empty.resume()
        turned = list(one.turns)
        (granted,) = [permit for permit in permits if permit is not None]
        one.board.succeeded("a", granted)
        closed = one.state()
        await one.until(lambda: len(one.turns) == 2)

        assert turned == ["no answer within 50 ms"]
        assert waited_s < 5.0
        assert later is None
        assert closed is State.CLOSED
        assert one.turns == ["no answer within 50 ms", ""]


async def test_a_host_alone_goes_on_and_its_decisions_are_taken_over(empty: servers.Server) -> None:
    """Failures that Redis has not confirmed count here; what was decided alone holds for all afterwards."""
    async with replicas(empty.url) as (one, two):
        empty.stop()
        one.fail(3)
        await one.until(lambda: bool(one.turns) and bool(two.turns))
        alone = one.state(), two.state()
        await asyncio.to_thread(empty.restart)  # and it has forgotten everything
        await one.until(lambda: len(one.turns) == 2 and len(two.turns) == 2)
        await two.until(lambda: two.state() is State.OPEN)

        assert alone == (State.OPEN, State.CLOSED)
        assert one.turns[1:] == two.turns[1:] == [""]
        assert one.state() is State.OPEN


async def test_a_server_that_forgot_everything_is_taught_again(empty: servers.Server) -> None:
    """Flushed between two exchanges: an open breaker stays open, a forced one too."""
    async with replicas(empty.url) as (one, two):
        one.fail(3)
        two.board.override("b", forced=True)
        await two.until(lambda: two.state() is State.OPEN and one.state("b") is State.OPEN)
        with empty.client() as client:
            client.flushall()
        await asyncio.sleep(0.1)
        async with replicas(empty.url, count=1) as (late,):
            await late.until(lambda: late.state() is State.OPEN and late.state("b") is State.OPEN)

        assert one.turns == two.turns == []


async def test_probes_of_a_host_that_died_do_not_keep_others_out(empty: servers.Server) -> None:
    """After five seconds of silence, however long their lease."""
    now_ms = 1_750_000_000_000
    one, two = (RedisBreakers(empty.url, clock_ms=lambda: now_ms) for _ in range(2))
    for store in (one, two):
        await store.open()

    def probe() -> Probe:
        return Probe("a", QUICK, 600.0, asyncio.get_running_loop().create_future())

    for _ in range(3):
        await one.exchange([Ill("a", QUICK, 1, None)], Known())
    now_ms += 1000
    first = (await one.exchange([probe()], Known())).permits[0]
    refused = (await two.exchange([probe()], Known())).permits[0]
    now_ms += 5001
    granted = (await two.exchange([probe()], Known())).permits[0]
    for store in (one, two):
        await store.close()

    assert first is not None
    assert refused is None
    assert granted == first


async def test_a_call_of_a_closed_llm_asks_nobody(empty: servers.Server) -> None:
    """A thousand calls, all well: one exchange, the server's own count of commands says so."""
    async with replicas(empty.url, count=1) as (one,):
        await asyncio.sleep(0.1)
        with empty.client() as client:
            client.config_resetstat()
        for _ in range(1000):
            permit = await one.board.admit("a")
            assert permit is not None
            one.board.succeeded("a", permit)
        await one.board.close()
        with empty.client() as client:
            stats = client.info("commandstats")

    assert isinstance(stats, dict)
    assert stats["cmdstat_evalsha"]["calls"] <= 2


async def test_names_that_clients_choose_do_not_fill_the_server(empty: servers.Server) -> None:
    """What nobody has touched for two days is forgotten, unless it is forced open."""
    now_ms = 1_750_000_000_000
    store = RedisBreakers(empty.url, clock_ms=lambda: now_ms)
    await store.open()
    clock = ManualClock(now_ms / 1000)
    forced = Breaker(QUICK, clock, lambda _before, _now: None)
    forced.force_open()
    decision = forced.decision("kept")
    assert decision is not None
    for n in range(100):
        await store.exchange([Ill(f"open/{n}", QUICK, 1, None)], Known())
    await store.exchange([Merge("kept", QUICK, decision)], Known())
    now_ms += 3 * 86_400_000
    for _ in range(20):
        await store.exchange([Ill("new", QUICK, 1, None)], Known())
    await store.close()
    with empty.client() as client:
        left = client.hkeys("{tristar:breakers}:states")
        ends = [client.pttl(key) for key in client.keys("*")]

    assert set(left) == {b"kept", b"new"}
    assert all(end > 0 for end in ends)


async def test_no_secret_of_the_url_is_told() -> None:
    """Neither in the reason nor in a repr."""
    store = RedisBreakers("redis://someone:hunter2@127.0.0.1:1/0")

    with pytest.raises(StoreUnavailable) as caught:
        await store.open()

    assert "hunter2" not in f"{caught.value} {store!r}"
