"""What the console costs: time until its overview is usable on a loaded gateway, processor per viewer.

    .venv/bin/python -m benchmarks.console

Writes benchmarks/console.json. A viewer is what one open page asks for: its stream, /health/ready every 5 s.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from benchmarks.machine import cpu_s, facts
from playwright.async_api import Browser, async_playwright
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.gateway import Gateway

RESULTS = Path(__file__).with_name("console.json")
VISITS = 10
VIEWERS = 10
SECONDS = 12.0
CALLS_PER_S = 40
CLIENTS = 16
WATCH = """
new MutationObserver(() => {
  if (!window.usableAt && document.querySelector("main[data-state=live] .chart canvas")) {
    window.usableAt = performance.now();
  }
}).observe(document, { subtree: true, childList: true, attributes: true });
"""
PAGES = {"overview": "/admin/history/stream", "calls": "/admin/calls/stream", "llms": None}
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "one two three four five"}]}


def main() -> None:
    found: dict[str, Any] = {"viewers": VIEWERS, "seconds": SECONDS}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            found.setdefault("machine", facts(Path(folder)))
        with tempfile.TemporaryDirectory() as folder, Gateway(Path(folder) / "g", workers=workers) as gateway:
            found[f"workers={workers}"] = asyncio.run(_measure(gateway))
            gateway.stop()
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


async def _measure(gateway: Gateway) -> dict[str, Any]:
    told: dict[str, Any] = {"usable_ms_loaded": await _usable(gateway)}
    for load in (0, CALLS_PER_S):
        alone = await _processor(gateway, load, None)
        each = {page: (await _processor(gateway, load, page) - alone) / VIEWERS for page in PAGES}
        told[f"core_percent_per_viewer_at_{load}_calls_per_s"] = {
            page: round(100 * share, 3) for page, share in each.items()
        }
    return told


async def _usable(gateway: Gateway) -> dict[str, float]:
    """From the navigation to the first live figures, under as many calls as the machine gives."""
    with _saturated(gateway):
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            await _visit(browser, gateway.url)
            began, before = time.monotonic(), _calls(gateway)
            times = [await _visit(browser, gateway.url) for _ in range(VISITS)]
            rate = (_calls(gateway) - before) / (time.monotonic() - began)
            await browser.close()
    return {
        "calls_per_s": round(rate),
        "median": round(statistics.median(times)),
        "longest": round(max(times)),
    }


def _calls(gateway: Gateway) -> float:
    return gateway.scrape().value("ailinux_llm_calls_total", model="echo") or 0.0


async def _visit(browser: Browser, url: str) -> float:
    """By the page's own clock, from the navigation's start."""
    context = await browser.new_context()
    await context.add_init_script(WATCH)
    page = await context.new_page()
    await page.goto(f"{url}/console")
    await page.wait_for_selector("main[data-state=live] .chart canvas")
    took: float = await page.evaluate("window.usableAt")
    await context.close()
    return took


@contextlib.contextmanager
def _saturated(gateway: Gateway) -> Iterator[None]:
    """16 clients that call one after the other, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.console", gateway.url]
    with subprocess.Popen(command) as load:
        try:
            yield
        finally:
            load.terminate()


async def _saturate(url: str) -> None:
    async def caller(http: httpx.AsyncClient) -> None:
        while True:
            (await http.post(f"{url}/v1/chat/completions", json=CHAT)).raise_for_status()

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        await asyncio.gather(*[caller(http) for _ in range(CLIENTS)])


async def _processor(gateway: Gateway, calls_per_s: int, page: str | None) -> float:
    """Cores in use by the gateway with `VIEWERS` of this page looking on."""
    async with _client(gateway) as http:
        tasks = [asyncio.create_task(_call(http, calls_per_s))] if calls_per_s else []
        if page is not None:
            for _ in range(VIEWERS):
                tasks += [asyncio.create_task(job) for job in _viewer(http, PAGES[page])]
        await asyncio.sleep(3)
        began, before = time.monotonic(), cpu_s(gateway.pid)
        await asyncio.sleep(SECONDS)
        share = (cpu_s(gateway.pid) - before) / (time.monotonic() - began)
        await _end(tasks)
    return share


def _viewer(http: httpx.AsyncClient, stream: str | None) -> list[Any]:
    if stream is None:
        return [_poll(http, "/health/ready"), _poll(http, "/admin/llms")]
    return [_poll(http, "/health/ready"), _follow(http, stream)]


async def _call(http: httpx.AsyncClient, per_s: int) -> None:
    while True:
        started = time.monotonic()
        (await http.post("/v1/chat/completions", json=CHAT)).raise_for_status()
        await asyncio.sleep(max(0.0, 1 / per_s - (time.monotonic() - started)))


async def _poll(http: httpx.AsyncClient, path: str) -> None:
    while True:
        (await http.get(path)).raise_for_status()
        await asyncio.sleep(5)


async def _follow(http: httpx.AsyncClient, path: str) -> None:
    async with http.stream("GET", path) as response:
        async for _ in response.aiter_raw():
            pass


def _client(gateway: Gateway) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=200)
    return httpx.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False, limits=limits)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_saturate(sys.argv[1]))
    else:
        main()
