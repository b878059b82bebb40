"""Scrapes do not disturb the streams that run meanwhile.

How wide the widest gap of a run is depends on the machine: `make bench ARGS="--scale"` measures it, and
docs/performance.md has the figure. Here it is what must hold on any machine, however loaded.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from itertools import pairwise

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.metrics.stories import account, attempt, new_books, total
from tests.upstream import Answer, Upstream

from tristar.host.scrape import HubScraper

GAP_S = 0.01
STALLED_S = 0.05


class Endless(Collector):
    """A collector whose figures are not ready before the test says so."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.ready = threading.Event()
        self.thread = 0

    def collect(self) -> Iterable[Metric]:
        """Block."""
        self.thread = threading.get_ident()
        self.asked.set()
        assert self.ready.wait(30)
        return ()


async def test_a_scrape_of_any_length_stops_neither_the_loop_nor_the_books() -> None:
    """While one is written that never ends, tasks run, exchanges are entered, and no lock is waited for."""
    endless, registry = Endless(), CollectorRegistry()
    loop = asyncio.get_running_loop()

    async def memory_entries() -> tuple[int | None, int | None]:
        return 12, None

    books = new_books(registry=registry)
    registry.register(endless)
    scraping = loop.create_task(HubScraper(books, loop, "/metrics", memory_entries).scrape(None))
    assert await loop.run_in_executor(None, endless.asked.wait, 30)
    for _ in range(1_000):
        books.count(account([attempt()]))
        await asyncio.sleep(0)
    entered, was_done = total(books, "ailinux_request_count"), scraping.done()
    endless.ready.set()
    body, _ = await scraping

    assert endless.thread != threading.get_ident()
    assert (entered, was_done) == (1_000, False)
    assert b"ailinux_request_count" in body


def standstill(arrivals: list[float]) -> float:
    """The share of the time that lay in gaps, beyond the first 50 ms of each."""
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    return sum(max(0.0, gap - STALLED_S) for gap in gaps) / sum(gaps)


def read_stream(gateway: Gateway) -> list[float]:
    """When each chunk of one stream came."""
    with gateway.client().chat.completions.create(
        model="llm0", messages=[{"role": "user", "content": "hi"}], stream=True
    ) as stream:
        return [time.monotonic() for _ in stream]


def test_a_stream_goes_on_while_large_scrapes_are_rendered(gateway: StartGateway, upstream: Upstream) -> None:
    """2,500 llms make a page of 85,000 lines; written on the loop it stops the stream two thirds of the time.

    A loaded machine makes streams stand still without any scrape: one without is what it is compared with.
    """
    tables = [llm(f"llm{number}", "p") for number in range(2_500)]
    running = gateway(toml=document(provider("p", upstream.base_url), *tables))
    upstream.default = Answer(words=tuple(f"w{number} " for number in range(150)), gap_s=GAP_S)
    alone = read_stream(running)
    stop = threading.Event()
    sizes: list[int] = []

    def scrape() -> None:
        while not stop.is_set():
            sizes.append(len(running.request("GET", "/metrics").text.splitlines()))

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        scraped = read_stream(running)
    finally:
        stop.set()
        scraper.join()

    assert max(sizes) > 80_000
    assert len(sizes) >= 2
    assert len(scraped) == len(alone) >= 150
    assert standstill(scraped) <= standstill(alone) + 0.35
