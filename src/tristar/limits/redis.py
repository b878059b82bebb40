"""The store in Redis: one script call per reserve, one per settle, for any number of replicas.

Times are the server's, so that replicas whose clocks differ agree. All keys carry one hash tag: a
cluster keeps them on one node, where the script is atomic. Nothing here waits for a deadline, that
is `SharedLimiter`'s; a cancelled call costs its connection.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from types import ModuleType
from typing import TYPE_CHECKING, cast

from tristar.limits.allowance import Amount, Subject
from tristar.limits.calendar import DAY_S, month_of
from tristar.limits.limiter import Reservation, charge
from tristar.limits.store import Spending, StoreUnavailable, Verdict
from tristar.limits.usage import Usage, refusal, standings

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

FIELDS = 7
CONNECTIONS = 32
REASON_CHARACTERS = 200

ClockMs = Callable[[], int]


class RedisStore:
    """See `Store`. `url` may be `redis://`, `rediss://` or `unix://`; a cluster is recognised.

    At most `CONNECTIONS` calls are under way at a time, the others wait their turn. `prefix`
    separates gateways that share a Redis. `clock_ms` stands in for the server's clock.

    Raises:
        ImportError: the `redis` extra is not installed.
    """

    def __init__(self, url: str, prefix: str = "tristar", clock_ms: ClockMs | None = None) -> None:
        self._library = _library()
        self._url = url
        self._tag = f"{{{prefix}:limits}}"
        self._clock_ms = clock_ms
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._client: Redis | RedisCluster | None = None
        self._script = resources.files(__package__).joinpath("limits.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()

    async def open(self) -> None:
        """See `Store.open`."""
        async with self._faults():
            if self._client is None:
                self._client = await _connected(self._library, self._url)
            await self._client.script_load(self._script)  # of a cluster, on every primary

    async def reserve(self, reservation: Reservation, lease_s: float) -> Verdict:
        """See `Store.reserve`."""
        reply = await self._run("reserve", reservation, int(lease_s * 1000), 0)
        return _verdict(reservation, reply)

    async def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Store.settle`."""
        tokens, microusd = charge(reservation, actual)
        made = actual is None or actual.made
        await self._run("settle" if made else "undo", reservation, tokens, microusd)

    async def close(self) -> None:
        """See `Store.close`."""
        client, self._client = self._client, None
        if client is not None:
            async with self._faults():
                await client.aclose()

    async def _run(self, operation: str, reservation: Reservation, first: int, second: int) -> list[int]:
        need = reservation.need
        now: int | str = "" if self._clock_ms is None else self._clock_ms()
        held = need.tokens, need.cost_microusd or 0
        arguments = [operation, reservation.id, now, *held, first, second]
        for subject in reservation.subjects:
            arguments += ["" if limit is None else limit for limit in subject.allowance.limits]
        keys = self._keys(reservation.subjects)
        async with self._turns, self._faults():
            return await self._evaluate([len(keys), *keys, *arguments])

    async def _evaluate(self, arguments: Sequence[int | str]) -> list[int]:
        if self._client is None:
            raise StoreUnavailable("not connected")
        errors = self._library.exceptions
        try:
            reply = await self._client.execute_command("EVALSHA", self._sha, *arguments)
        except errors.NoScriptError:  # restarted, flushed, or another node of the cluster now
            reply = await self._client.execute_command("EVAL", self._script, *arguments)
        return cast("list[int]", reply)

    def _keys(self, subjects: Sequence[Subject]) -> list[str]:
        keys = []
        for subject in subjects:
            keys += [f"{self._tag}:spent:{subject.name}", f"{self._tag}:leases:{subject.name}"]
        return keys

    @asynccontextmanager
    async def _faults(self) -> AsyncIterator[None]:
        """Every way in which Redis fails, as one. Its own words never hold the URL's password."""
        errors = self._library.exceptions
        try:
            yield
        except (OSError, ValueError, errors.RedisError, errors.RedisClusterException) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]) from error


def _verdict(reservation: Reservation, reply: Sequence[int]) -> Verdict:
    done, now_ms = reply[0], reply[1]
    subjects = reservation.subjects
    usages = [Usage(*reply[at : at + FIELDS]) for at in range(2, 2 + FIELDS * len(subjects), FIELDS)]
    refused = None
    if not done:
        refused = refusal(subjects, usages, reservation.need, now_ms / 1000)
        if refused is None:
            raise StoreUnavailable("the script refused what is within every limit")
    day = now_ms // 1000 // DAY_S
    spendings = [
        Spending(subject.name, day, usage.spent_day, month_of(day), usage.spent_month)
        for subject, usage in zip(subjects, usages, strict=True)
        if subject.allowance.has_budget
    ]
    return Verdict(refused, standings(subjects, usages), spendings)


def _library() -> ModuleType:
    """The redis package, an extra of this one: the one place where it is imported."""
    import redis.asyncio  # noqa: PLC0415 - an optional extra

    return redis


async def _connected(library: ModuleType, url: str) -> "Redis | RedisCluster":
    """A client for what answers at this URL: one server, or the cluster that it belongs to."""
    retry = library.asyncio.retry.Retry(library.backoff.NoBackoff(), 0)
    options = {"protocol": 2, "socket_timeout": None, "socket_connect_timeout": None, "retry": retry}
    single: Redis = library.asyncio.Redis.from_url(url, max_connections=CONNECTIONS, **options)
    try:
        told = await single.execute_command("HELLO")  # type: ignore[no-untyped-call]  # so in redis-py
    except BaseException:
        await single.aclose()
        raise
    if _mode(told) != b"cluster":
        return single
    await single.aclose()
    cluster: RedisCluster = library.asyncio.RedisCluster.from_url(url, max_connections=CONNECTIONS, **options)
    try:
        return await cluster.initialize()
    except BaseException:
        await cluster.aclose()
        raise


def _mode(told: object) -> object:
    fields = (
        told if isinstance(told, Mapping) else dict(zip(*[iter(cast("list[object]", told))] * 2, strict=True))
    )
    return fields.get(b"mode")
