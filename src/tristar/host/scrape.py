"""Scrapes in the process that keeps the books."""

import asyncio
from collections.abc import Awaitable, Callable

from tristar.errors import Unavailable
from tristar.metrics.books import Books

MEMORY_TIMEOUT_S = 1.0


class HubScraper:
    """See `edge.front.Scraper`. Rendering happens in a thread, so that no stream waits for it."""

    def __init__(
        self,
        books: Books,
        loop: asyncio.AbstractEventLoop,
        path: str,
        count_memory: Callable[[], Awaitable[tuple[int | None, int | None]]],
    ) -> None:
        self._books = books
        self._loop = loop
        self.path = path
        self._count_memory = count_memory
        self.memory_entries: int | None = None
        self.memory_waiting: int | None = None

    async def scrape(self, accept: str | None) -> tuple[bytes, str]:
        """See `Scraper.scrape`. Where the memory cannot be counted its gauge is absent, not wrong."""
        try:
            async with asyncio.timeout(MEMORY_TIMEOUT_S):
                self.memory_entries, self.memory_waiting = await self._count_memory()
        except (Unavailable, TimeoutError):
            self.memory_entries = self.memory_waiting = None
        return await self._loop.run_in_executor(None, self._books.render, accept)
