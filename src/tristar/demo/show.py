"""The whole demo: providers, gateway, Prometheus and clients, from the first to the last."""

import asyncio
import secrets
import signal
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from tristar.clock import SystemClock
from tristar.demo import house, station
from tristar.demo.provider import SIEM_PATH, Provider, serving
from tristar.demo.traffic import Clients, habits, keep
from tristar.demo.weather import CHARACTERS
from tristar.errors import StartRefused

Tell = Callable[[str], None]

_PLOT = """\
What happens: `cascade` is down for 12 s of every two minutes (the first time now: its breakers open, `smart`
falls back, `lonely` fails), `borealis` has bursts of 429 and 500, `drift` cuts one stream in three (`fast`
carries it on), `thinker` takes half a minute. `batch` meets its rate limit, `intern` a budget."""


def perform(port: int, *, with_prometheus: bool, tell: Tell) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; leave nothing behind.

    Raises:
        StartRefused: the gateway did not start, or ended before it was told to.
    """
    with tempfile.TemporaryDirectory(prefix="tristar-demo-") as folder:
        asyncio.run(_perform(Path(folder), port, with_prometheus, tell))
    tell("The demo has ended; its folder is gone.")


async def _perform(folder: Path, port: int, with_prometheus: bool, tell: Tell) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        running, key = await _open(stack, folder, port)
        tell(_banner(running, key))
        if with_prometheus:
            tell(await _open_prometheus(stack, folder, running.url))
        tell(f"\n{_PLOT}\nCtrl-C ends all of it.")
        clients = Clients(running.url, key, Random())  # noqa: S311 - simulated
        stack.push_async_callback(clients.close)
        await clients.introduce()
        died = loop.create_task(running.process.wait())
        stopped = loop.create_task(stop.wait())
        busy = [loop.create_task(keep(habit, Random())) for habit in habits(clients)]  # noqa: S311 - simulated
        await asyncio.wait((died, stopped, *busy), return_when=asyncio.FIRST_COMPLETED)
        for task in (*busy, stopped):
            task.cancel()
        await asyncio.gather(*busy, stopped, return_exceptions=True)
        if died.done() and not stop.is_set():
            raise StartRefused(f"The demo's gateway has ended by itself:\n{house.last_words(running.log)}")
        died.cancel()
        tell(f"\nEnding after {clients.answers.total()} answers. What the audit log and the metrics say:")
        tell(await house.verdict(folder, running.url, key))


async def _open(stack: AsyncExitStack, folder: Path, port: int) -> tuple[house.Running, str]:
    key = f"demo-{secrets.token_urlsafe(18)}"
    addresses = {}
    for character in CHARACTERS:
        provider = Provider(character, SystemClock(), Random())  # noqa: S311 - simulated
        addresses[character.name] = await stack.enter_async_context(serving(provider))
    siem = f"{next(iter(addresses.values()))}{SIEM_PATH}"
    toml = house.configuration(addresses, siem, folder / "vault")
    (folder / "vault").mkdir()
    return await stack.enter_async_context(house.gateway(folder, toml, port, key)), key


async def _open_prometheus(stack: AsyncExitStack, folder: Path, url: str) -> str:
    program = station.installed()
    if program is None:
        return "prometheus   not installed here (Debian: apt-get install prometheus); going on without it"
    target = url.partition("//")[2]
    address = await stack.enter_async_context(station.prometheus(folder / "prometheus", program, target))
    return f"prometheus   {address}/alerts (the shipped rules; every `for` is {station.WAIT} here)"


def _banner(running: house.Running, key: str) -> str:
    url = running.url
    return f"""\
SIMULATED: four made-up providers, made-up clients, a real gateway. Nothing leaves this machine.

console      {url}/console
admin key    {key}   (the console asks for it; it ends with the demo)
metrics      {url}/metrics
folder       {running.log.parent}   (gateway.log, logs/audit; removed at the end)"""
