"""A serving process whose hub is in another one: how it joins that, and lives with it."""

import asyncio
import contextlib
import os
import pickle
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tristar.auth.shelf import Handed
from tristar.clock import Clock, SystemClock
from tristar.gateway import Gateway, Ties, Unwell
from tristar.host.credentials import LinkCredentials
from tristar.host.entry import HostLedger
from tristar.host.link import Link, LinkBreakers, LinkLimiter, LinkLookout, LinkScraper, LinkWay
from tristar.host.orders import LinkOrders
from tristar.host.slots import SlotTable
from tristar.metrics.lag import watch_loop
from tristar.opening import HUB_SOCKET, open_scribe, open_slots
from tristar.settings import Settings
from tristar.storage.opening import open_engine

HUB_POLL_S = 0.01


async def join_hub(
    path: Path, settings: Settings, clock: Clock, lost: Callable[[], None]
) -> tuple[Link, SlotTable, HostLedger, LinkScraper | None]:
    """Join the hub that listens at `path`: the link, and what records, counts and is scraped through it.

    Raises:
        OSError: there is none.
    """
    loop = asyncio.get_running_loop()
    link = Link(loop, lost)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        await loop.create_unix_connection(lambda: link, f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
    slots = open_slots(settings)
    link.hello(os.getpid(), slots)
    strict = settings.audit.mode == "strict"
    ledger = HostLedger(
        LinkWay(link, strict=strict), open_scribe(settings, clock), slots, loop, clock, strict=strict
    )
    scraper = LinkScraper(link, settings.metrics.path) if settings.metrics.enabled else None
    return link, slots, ledger, scraper


async def connect_link(
    path: Path, settings: Settings, clock: Clock, lost: Callable[[], None]
) -> tuple[Link, Ties]:
    """Tie this worker to the hub that listens at `path`."""
    link, slots, ledger, scraper = await join_hub(path, settings, clock, lost)
    return link, Ties(
        ledger=ledger,
        lookout=LinkLookout(link),
        revoked=link.tell_revoked,
        breakers=LinkBreakers(link, clock),
        credentials=LinkCredentials(link, clock),
        limiter=LinkLimiter(link),
        scraper=scraper,
        unwell=Unwell(link, link, link.conditions),
        slots=slots,
        orders=LinkOrders(link, clock),
        database=open_engine(settings.database_url, settings.data_dir),
    )


@contextlib.asynccontextmanager
async def linked(
    settings: Settings, is_coming: Callable[[], bool] = lambda: False, handed: Handed | None = None
) -> AsyncIterator[Gateway]:
    """A gateway tied to the hub in another process, started; the process exits when the hub is lost.

    While there is no hub and `is_coming()`, it waits for one. `handed` is what the hub knows of keys.

    Raises:
        OSError: there is no hub.
    """
    leaving = False

    def abandoned() -> None:
        if not leaving:
            os._exit(1)  # nothing can be recorded any more; the tables tell the next hub what was open

    clock = SystemClock()
    path = settings.audit.dir / HUB_SOCKET
    while True:
        try:
            link, ties = await connect_link(path, settings, clock, abandoned)
            break
        except (FileNotFoundError, ConnectionRefusedError):
            if not is_coming():
                raise
            await asyncio.sleep(HUB_POLL_S)
    gateway = Gateway(settings, ties, clock)
    link.in_flight = gateway.in_flight
    link.adopt = lambda pickled: gateway.adopt(pickle.loads(pickled))  # nosec B301 # noqa: S301 - from our own hub
    await gateway.start(handed)
    lag = asyncio.create_task(watch_loop(link.tell_lag))
    try:
        yield gateway
    finally:
        leaving = True
        lag.cancel()
        await gateway.stop()
        await ties.database.close()
        ties.slots.close()
        link.close()
