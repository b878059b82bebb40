"""`tristar serve`: one process, or a supervisor that is the hub and its workers."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import structlog
import uvloop

from tristar import __version__, heap
from tristar.app import hosting, reload_on_hangup, solo
from tristar.auth.shelf import Handed
from tristar.clock import SystemClock
from tristar.crew import Crew, Worker, fork
from tristar.edge.server import Server
from tristar.edge.tally import Place, Tally
from tristar.errors import StartRefused
from tristar.gateway import Gateway
from tristar.joining import linked
from tristar.logs import configure
from tristar.sdnotify import NOBODY, ServiceManager
from tristar.settings import Settings

BACKLOG = 2048
_UPGRADED = "another version of TriStar was installed while it runs; restart it"
DRAIN_MARGIN_S = 5.0

_log = structlog.get_logger("tristar")


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""
    configure(settings.logs)
    with _listen(settings.server.host, settings.server.port) as listener:
        if settings.server.workers == 1:
            return uvloop.run(_serve_solo(settings, listener))
        return _serve_many(settings, listener)


def _serve_many(settings: Settings, listener: socket.socket) -> int:
    heap.settle()  # what is imported stays shared with the workers
    supervisor = os.getpid()
    tally = Tally.make(settings.server.workers)
    firstborn = [
        fork(partial(_live, settings, listener, Place(tally, number), supervisor))
        for number in range(len(tally))
    ]
    try:
        return uvloop.run(_supervise(settings, listener, tally, firstborn))
    finally:
        for worker in firstborn:  # still there only if the start failed
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(worker.pid, signal.SIGKILL)
                worker.reap()


def _live(
    settings: Settings,
    listener: socket.socket,
    place: Place,
    supervisor: int | None = None,
    handed: Handed | None = None,
) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor's to act upon
    return uvloop.run(_serve_worker(settings, listener, place, supervisor, handed))


def serve_worker() -> int:
    """A worker's whole life; settings and known keys come from the supervisor through standard input.

    Before them comes the supervisor's version: this process imports what is installed now, perhaps another.
    """
    version = pickle.load(sys.stdin.buffer)  # nosec B301 # noqa: S301 - written by our own parent process
    try:
        told = pickle.load(sys.stdin.buffer)  # nosec B301 # noqa: S301 - the same
        settings, descriptor, tally, number, handed = told
    except Exception:
        if version != __version__:
            configure()
            _log.error(_UPGRADED, running=version, installed=__version__)
            return 1
        raise
    configure(settings.logs)
    if version != __version__:
        _log.warning(_UPGRADED, running=version, installed=__version__)
    place = Place(Tally(tally, settings.server.workers), number)
    with socket.socket(fileno=descriptor) as listener:
        return _live(settings, listener, place, handed=handed)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartRefused(
            f"Cannot listen on {host}:{port}: {error.strerror}. Stop what uses the port, or choose another "
            "with --port."
        ) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listener


async def _run(
    gateway: Gateway,
    listener: socket.socket,
    drain_s: float,
    service: ServiceManager,
    ready: Callable[[], None],
    *,
    place: Place | None = None,
) -> None:
    """Serve until a signal; then turn ready off and let what is in flight finish.

    `ready` is called once requests are taken, and a signal ends it as it should.
    """
    loop = asyncio.get_running_loop()
    server = Server(loop, gateway.app.serve, place)
    told: asyncio.Future[None] = loop.create_future()

    def drain() -> None:
        gateway.draining = True
        if not told.done():
            told.set_result(None)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    heap.settle()
    certificate = gateway.certificate
    await server.listen(listener, BACKLOG, None if certificate is None else certificate.context)
    ready()
    service.ready("serving")
    await told
    service.stopping(drain_s + DRAIN_MARGIN_S)
    await server.drain(drain_s)


async def _serve_solo(settings: Settings, listener: socket.socket) -> int:
    service = _service_manager()
    async with _alive(service), solo(settings, service) as gateway:
        announce = partial(_announce, settings, listener)
        await _run(gateway, listener, settings.server.drain_s, service, announce)
    return 0


def _service_manager() -> ServiceManager:
    return ServiceManager.of(os.environ, os.getpid(), SystemClock())


@contextlib.asynccontextmanager
async def _alive(service: ServiceManager) -> AsyncIterator[None]:
    """The watchdog is fed from the first moment to the last: a drain takes longer than its period."""
    showing = asyncio.get_running_loop().create_task(service.show_life())
    try:
        yield
    finally:
        showing.cancel()


async def _serve_worker(
    settings: Settings,
    listener: socket.socket,
    place: Place,
    supervisor: int | None,
    handed: Handed | None,
) -> int:
    """Serve until a signal; a worker forked before its hub is there waits for it."""

    def is_coming() -> bool:
        return supervisor is not None and os.getppid() == supervisor

    async with linked(settings, is_coming, handed) as gateway:
        await _run(gateway, listener, settings.server.drain_s, NOBODY, _say_nothing, place=place)
    return 0


async def _supervise(
    settings: Settings, listener: socket.socket, tally: Tally, firstborn: Sequence[Worker]
) -> int:
    service = _service_manager()
    async with _alive(service), hosting(settings) as host:
        reload_on_hangup(host, service)
        crew = Crew(host, listener, tally, firstborn)
        loop = asyncio.get_running_loop()
        stop, greeted = asyncio.Event(), loop.create_task(host.port.greeted.wait())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        stopped = loop.create_task(stop.wait())
        await asyncio.wait((stopped, greeted), return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            _announce(settings, listener)
            service.ready("serving")
        await stopped
        service.stopping(settings.server.drain_s + DRAIN_MARGIN_S)
        greeted.cancel()
        await crew.stop(settings.server.drain_s + DRAIN_MARGIN_S)
    return 0


def _say_nothing() -> None:
    """A worker's supervisor speaks for it."""


def _announce(settings: Settings, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"{'http' if settings.server.tls_cert is None else 'https'}://{shown}:{port}"
    model = next(iter(settings.catalog.llms), None) or _open_model(settings)
    question = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello, TriStar!"}}]}}'
    lines = [f"listening on {url}", f"console      {url}/console", "", "Try it:"]
    lines.append(f"  curl {url}/v1/chat/completions -H 'Content-Type: application/json' \\")
    if settings.auth.admin_key is not None:
        lines.append('    -H "Authorization: Bearer $TRISTAR_ADMIN_KEY" \\')
    lines.append(f"    -d '{question}'")
    print("\n".join(lines), flush=True)  # noqa: T201 - what `tristar serve` promises to print


def _open_model(settings: Settings) -> str:
    return f"{next(iter(settings.catalog.open_providers), 'echo')}/MODEL"
