"""The upstreams of the configured providers, and the fixed part of what is sent to each."""

import asyncio
import ssl
from urllib.parse import quote, urlsplit

from tristar.providers.registry import AUTH_HEADERS
from tristar.relay.connections import Origin, Pool
from tristar.relay.echo import Echo
from tristar.relay.transport import Upstream
from tristar.routing.catalog import ApiKey, Provider

MOST_HEADS = 1_000
"""Heads kept per provider: models of open providers are the clients' to name."""


class Upstreams:
    """One connection pool per origin, made on first use. Event-loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, version: str) -> None:
        self._loop = loop
        self._version = version
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[tuple[str, int, bool], Upstream] = {}
        self._places: dict[str, _Place] = {}

    def at(self, provider: Provider, path: str, model: str, key: ApiKey | None) -> tuple[Upstream, bytes]:
        """The upstream, and the head of requests to `path` there, up to the per-request headers.

        `model` is the upstream's name for it, where the provider's address holds one.
        """
        place = self._places.get(provider.name)
        if place is None or place.provider is not provider:
            place = self._places[provider.name] = _Place(provider, self._pool(provider), self._version)
        return place.upstream, place.head(path, model, key)

    async def close(self) -> None:
        """Close every idle connection."""
        for upstream in self._pools.values():
            await upstream.close()

    def _pool(self, provider: Provider) -> Upstream:
        origin = Origin.of(provider.base_url)
        at = origin.host, origin.port, origin.tls
        pool = self._pools.get(at)
        if pool is None:
            pool = self._pools[at] = self._make(provider, origin)
        return pool

    def _make(self, provider: Provider, origin: Origin) -> Upstream:
        if provider.dialect == "echo":
            return Echo()
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        return Pool(origin, self._loop, self._tls)


class _Place:
    """One provider as it is configured now: where it is, and the heads of requests to it."""

    __slots__ = ("_heads", "_path", "_query", "_version", "_with_model", "provider", "upstream")

    def __init__(self, provider: Provider, upstream: Upstream, version: str) -> None:
        parts = urlsplit(provider.base_url)
        self.provider = provider
        self.upstream = upstream
        self._version = version
        self._path = parts.path.rstrip("/")
        self._query = parts.query
        self._with_model = "{model}" in self._path
        self._heads: dict[tuple[str, str, ApiKey | None], bytes] = {}

    def head(self, path: str, model: str, key: ApiKey | None) -> bytes:
        named = path, model if self._with_model else "", key
        known = self._heads.get(named)
        if known is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            known = self._heads[named] = self._make(*named)
        return known

    def _make(self, path: str, model: str, key: ApiKey | None) -> bytes:
        if self.provider.dialect == "echo":
            return path.encode()
        lines = [
            f"POST {self._target(path, model, key)} HTTP/1.1",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"User-Agent: tristar/{self._version}",
        ]
        header = AUTH_HEADERS[self.provider.auth]
        if key is not None and header:
            lines.append(header + key.secret)
        return ("\r\n".join(lines) + "\r\n").encode()

    def _target(self, path: str, model: str, key: ApiKey | None) -> str:
        asked, _, own_query = path.partition("?")
        queries = [query for query in (own_query, self._query) if query]
        if key is not None and self.provider.auth == "query-key":
            queries.append("key=" + quote(key.secret, safe=""))
        target = self._path.replace("{model}", quote(model, safe="")) + asked
        return target + ("?" + "&".join(queries) if queries else "")
