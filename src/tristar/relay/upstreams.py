"""The upstreams of the configured providers, and the fixed part of what is sent to each."""

import asyncio
import ssl

from tristar.relay.echo import Echo
from tristar.relay.transport import Origin, Pool, Upstream
from tristar.routing.catalog import Provider


class Upstreams:
    """One connection pool per provider, made on first use. Event-loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, version: str) -> None:
        self._loop = loop
        self._version = version
        self._tls: ssl.SSLContext | None = None
        self._pools: dict[Provider, Upstream] = {}
        self._known: dict[tuple[Provider, str], tuple[Upstream, bytes]] = {}

    def at(self, provider: Provider, path: str) -> tuple[Upstream, bytes]:
        """The upstream, and the head of requests to `path` there, up to the per-request headers."""
        known = self._known.get((provider, path))
        if known is None:
            known = self._known[provider, path] = self._pool(provider), self._head(provider, path)
        return known

    async def close(self) -> None:
        """Close every idle connection."""
        for upstream in self._pools.values():
            await upstream.close()

    def _pool(self, provider: Provider) -> Upstream:
        pool = self._pools.get(provider)
        if pool is None:
            pool = self._pools[provider] = self._make(provider)
        return pool

    def _make(self, provider: Provider) -> Upstream:
        if provider.dialect == "echo":
            return Echo()
        origin = Origin.of(provider.base_url)
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        return Pool(origin, self._loop, self._tls)

    def _head(self, provider: Provider, path: str) -> bytes:
        if provider.dialect == "echo":
            return path.encode()
        origin = Origin.of(provider.base_url)
        lines = [
            f"POST {origin.path}{path} HTTP/1.1",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"User-Agent: tristar/{self._version}",
        ]
        if provider.api_key is not None:
            lines.append(f"Authorization: Bearer {provider.api_key}")
        return ("\r\n".join(lines) + "\r\n").encode()
