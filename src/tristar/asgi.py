"""The gateway as one ASGI application for any server; `app.main` exposes it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from tristar import heap
from tristar.app import solo
from tristar.audit.writer import WriterBusy
from tristar.edge.request import Receive, Scope, Send
from tristar.errors import TriStarError
from tristar.gateway import Gateway
from tristar.joining import linked
from tristar.settings import Settings, check_directories, load

SEAT_TIMEOUT_S = 10.0
SEAT_POLL_S = 0.1


class Application:
    """The gateway for any ASGI server with lifespan support; settings are read when it starts.

    The first process on an audit directory is the hub, further ones are tied to it. A process that
    loses its hub exits, so that its server starts it anew: nothing is served that cannot be recorded.
    """

    def __init__(self) -> None:
        self._running: AsyncExitStack | None = None
        self._gateway: Gateway | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if self._gateway is None:
            raise RuntimeError("The ASGI server did not run the lifespan events that start the gateway.")
        await self._gateway.app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start(send)
            elif message["type"] == "lifespan.shutdown":
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _start(self, send: Send) -> None:
        try:
            settings = load(os.environ, Path.cwd())
            check_directories(settings)
            async with AsyncExitStack() as stack:
                self._gateway = await stack.enter_async_context(_any_seat(settings))
                self._running = stack.pop_all()
        except TriStarError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        heap.settle()
        await send({"type": "lifespan.startup.complete"})

    async def _stop(self) -> None:
        if self._gateway is not None:
            self._gateway.draining = True
        if self._running is not None:
            await self._running.aclose()


@contextlib.asynccontextmanager
async def _any_seat(settings: Settings) -> AsyncIterator[Gateway]:
    """Tied to the process that holds the audit directory, or holding it.

    Raises:
        WriterBusy: somebody holds it and takes no gateways, for `SEAT_TIMEOUT_S`.
    """
    give_up_at = time.monotonic() + SEAT_TIMEOUT_S
    while True:
        async with AsyncExitStack() as stack:
            gateway = await _take_seat(stack, settings, last_try=time.monotonic() > give_up_at)
            if gateway is not None:
                yield gateway
                return
        await asyncio.sleep(SEAT_POLL_S)


async def _take_seat(stack: AsyncExitStack, settings: Settings, *, last_try: bool) -> Gateway | None:
    """A started gateway, or None while another process is about to become the hub or to leave it."""
    with contextlib.suppress(OSError):
        return await stack.enter_async_context(linked(settings))
    try:
        return await stack.enter_async_context(solo(settings))
    except WriterBusy:
        if last_try:
            raise
        return None
