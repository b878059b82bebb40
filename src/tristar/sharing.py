"""One Lua script in the Redis that all replicas share: where limits and breakers are one.

Nothing here has a deadline, that is its caller's; a cancelled call costs its connection.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, cast

from tristar.errors import Fault, SettingsInvalid, TriStarError

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

CONNECTIONS = 32
REASON_CHARACTERS = 200


class StoreUnavailable(TriStarError):
    """The store gave no answer, or none that counts; whether it did what it was asked is not known."""


class Script:
    """One script. `url` may be `redis://`, `rediss://` or `unix://`; a cluster is recognised.

    At most `CONNECTIONS` calls are under way at a time, the others wait their turn. Each is atomic
    if all of its keys carry one hash tag, which keeps them on one node of a cluster. Raises
    `StoreUnavailable`, and nothing else, where Redis fails.

    Raises:
        SettingsInvalid: the `redis` extra is not installed.
    """

    def __init__(self, url: str, source: str) -> None:
        self._library = _library()
        self._url = url
        self._source = source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._client: Redis | RedisCluster | None = None

    async def open(self) -> None:
        """Make sure that Redis answers and has the script; again after a failure."""
        async with self._faults():
            if self._client is None:
                self._client = await _connected(self._library, self._url)
            await self._client.script_load(self._source)  # of a cluster, on every primary

    async def run(self, keys: Sequence[str], arguments: Sequence[int | str | bytes]) -> object:
        """What the script replies."""
        async with self._turns, self._faults():
            return await self._evaluate([len(keys), *keys, *arguments])

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            async with self._faults():
                await client.aclose()

    async def _evaluate(self, arguments: Sequence[int | str | bytes]) -> object:
        if self._client is None:
            raise StoreUnavailable("not connected")
        errors = self._library.exceptions
        try:
            reply: object = await self._client.execute_command("EVALSHA", self._sha, *arguments)
        except errors.NoScriptError:  # restarted, flushed, or another node of the cluster now
            reply = await self._client.execute_command("EVAL", self._source, *arguments)
        return reply

    @asynccontextmanager
    async def _faults(self) -> AsyncIterator[None]:
        """Every way in which Redis fails, as one. Its own words never hold the URL's password."""
        errors = self._library.exceptions
        try:
            yield
        except (OSError, ValueError, errors.RedisError, errors.RedisClusterException) as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}"[:REASON_CHARACTERS]) from error


def _library() -> ModuleType:
    """The redis package, an extra of this one: the one place where it is imported."""
    try:
        import redis.asyncio  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        problem = "is set, but the redis package is not installed"
        fix = "Install it with the extra `redis` (pip install 'tristar[redis]'), or unset REDIS_URL."
        raise SettingsInvalid([Fault("REDIS_URL", "", problem, fix)]) from error
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
