"""Scrapes do not disturb the streams that run meanwhile."""

import threading
import time
from itertools import pairwise

from tests.gateway import document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.upstream import Answer, Upstream

GAP_S = 0.01


def test_a_stream_goes_on_while_a_large_scrape_is_rendered(gateway: StartGateway, upstream: Upstream) -> None:
    """500 llms make a page of tens of thousands of lines; rendering it happens beside the event loop.

    Pauses of a loaded machine come on top of ours: so it is half of the gaps that has to be short.
    """
    tables = [llm(f"llm{number}", "p") for number in range(500)]
    running = gateway(toml=document(provider("p", upstream.base_url), *tables))
    upstream.default = Answer(words=tuple(f"w{number} " for number in range(150)), gap_s=GAP_S)
    stop = threading.Event()
    sizes: list[int] = []

    def scrape() -> None:
        while not stop.is_set():
            sizes.append(len(running.request("GET", "/metrics").text.splitlines()))

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        with running.client().chat.completions.create(
            model="llm0", messages=[{"role": "user", "content": "hi"}], stream=True
        ) as stream:
            arrivals = [time.monotonic() for _ in stream]
    finally:
        stop.set()
        scraper.join()
    gaps = sorted(later - earlier for earlier, later in pairwise(arrivals))

    assert max(sizes) > 10_000
    assert len(sizes) >= 2
    assert len(arrivals) >= 150
    assert gaps[len(gaps) // 2] < 0.05
