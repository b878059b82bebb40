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
        self._known: dict[Provider, tuple[Upstream, bytes]] = {}

    def chat(self, provider: Provider) -> tuple[Upstream, bytes]:
        """The upstream and the head of its chat requests, up to the per-request headers."""
        known = self._known.get(provider)
        if known is None:
            known = self._known[provider] = self._make(provider)
        return known

    async def close(self) -> None:
        """Close every idle connection."""
        for upstream, _ in self._known.values():
            await upstream.close()

    def _make(self, provider: Provider) -> tuple[Upstream, bytes]:
        if provider.dialect == "echo":
            return Echo(), b""
        origin = Origin.of(provider.base_url)
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        lines = [
            f"POST {origin.path}/chat/completions HTTP/1.1",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"User-Agent: tristar/{self._version}",
        ]
        if provider.api_key is not None:
            lines.append(f"Authorization: Bearer {provider.api_key}")
        return Pool(origin, self._loop, self._tls), ("\r\n".join(lines) + "\r\n").encode()
