"""Machines of a test's own: network namespaces, each with a cable to this one that can be cut."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

_NEEDS: Final = (
    "This test makes network namespaces: it needs root and `ip` (Debian: iproute2). Run the tests as root."
)


@dataclass(frozen=True)
class Host:
    """One machine. `address` is its own, `gate` this machine's end of the cable."""

    namespace: str
    device: str
    address: str
    gate: str

    @property
    def under(self) -> tuple[str, ...]:
        """The command that runs a program there and becomes it."""
        return ("ip", "netns", "exec", self.namespace)

    def cut(self) -> None:
        """Cut it off: what is sent to it vanishes, and nobody is told."""
        nobody = ("lladdr", "02:00:00:00:00:00", "nud", "permanent")
        ip("neigh", "replace", self.address, "dev", self.device, *nobody)

    def mend(self) -> None:
        """Let it hear again."""
        ip("neigh", "del", self.address, "dev", self.device)

    def run(self, *command: str) -> str:
        """What a program prints that runs on it."""
        done = subprocess.run([*self.under, *command], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout


def ip(*words: str) -> None:
    """One `ip` command; fails with what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        pytest.fail(f"ip {' '.join(words)}: {done.stderr.strip()}. {_NEEDS}")


@contextmanager
def machines(count: int) -> Iterator[list[Host]]:
    """So many machines, gone at the end. Addresses are of 198.18.0.0/15, which is for tests (RFC 2544)."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.fail(_NEEDS)
    with ExitStack() as stack:
        yield [stack.enter_context(_machine(number)) for number in range(count)]


@contextmanager
def _machine(number: int) -> Iterator[Host]:
    own = os.getpid()
    net = f"198.18.{own % 250}"
    host = Host(
        f"tristar-{own}-{number}",
        f"ts{own}n{number}"[:15],
        f"{net}.{4 * number + 2}",
        f"{net}.{4 * number + 1}",
    )
    ip("netns", "add", host.namespace)
    try:
        ip("link", "add", host.device, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        ip("addr", "add", f"{host.gate}/30", "dev", host.device)
        ip("link", "set", host.device, "up")
        inside = ("-n", host.namespace)
        ip(*inside, "addr", "add", f"{host.address}/30", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "route", "add", "default", "via", host.gate)
        yield host
    finally:
        ip("netns", "del", host.namespace)  # its end of the cable goes with it, and so does ours


class Doors:
    """Lets machines in to what listens on this one's loopback, each at its own gate."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._passing: set[asyncio.Task[None]] = set()

    def open(self, gate: str, port: int) -> int:
        """The port at `gate` that leads to 127.0.0.1:`port`."""
        opening = asyncio.run_coroutine_threadsafe(self._open(gate, port), self._loop)
        return opening.result(10)

    async def _open(self, gate: str, port: int) -> int:
        def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._pass(reader, writer, port))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

        server = await asyncio.start_server(come, gate, 0)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_carry(reader, back), _carry(there, writer))
        finally:
            for end in (writer, back):
                end.transport.abort()

    def close(self) -> None:
        """Shut every door."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._passing):
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
