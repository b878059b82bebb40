"""The workers of a supervisor: born, replaced when they die, stopped together."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

import structlog

from tristar import __version__
from tristar.app import Host
from tristar.edge.tally import Tally
from tristar.host.orphans import FOLDER

RESPAWN_S = 0.2
RESPAWN_LIMIT_S = 5.0

_log = structlog.get_logger("tristar")


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process; `reap` gives its exit code once it has ended."""

    pid: int
    reap: Callable[[], int]


def fork(life: Callable[[], int]) -> Worker:
    """A worker that lives `life` in a copy of this process, which is there at once: nothing is imported anew.

    For the first workers, before the supervisor has an event loop or a thread of its own.
    """
    pid = os.fork()
    if pid:
        return Worker(pid, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    code = 1
    try:
        code = life()
    finally:
        os._exit(code)  # never back into the supervisor's code


class Crew:
    """Keeps as many workers running as there were in the beginning. Event-loop thread only."""

    def __init__(
        self, host: Host, listener: socket.socket, tally: Tally, firstborn: Sequence[Worker]
    ) -> None:
        self._host = host
        self._listener = listener
        self._tally = tally
        self._stopping = False
        self._running = {worker.pid for worker in firstborn}
        loop = asyncio.get_running_loop()
        self._keepers = [
            loop.create_task(self._keep(worker, number)) for number, worker in enumerate(firstborn)
        ]

    async def stop(self, within_s: float) -> None:
        """Let every worker finish what is in flight; after `within_s` they are killed."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        await asyncio.wait(self._keepers, timeout=within_s)
        self._signal(signal.SIGKILL)
        await asyncio.gather(*self._keepers)

    async def _keep(self, worker: Worker, number: int) -> None:
        wait_s = RESPAWN_S
        while True:
            began = time.monotonic()
            code = await _exit_code(worker)
            self._running.discard(worker.pid)
            self._tally.leave(number)
            self._host.port.forget(worker.pid, self._host.settings.audit.dir / FOLDER)
            if self._stopping:
                return
            if time.monotonic() - began > RESPAWN_LIMIT_S:
                wait_s = RESPAWN_S
            _log.error("worker died; it is replaced", pid=worker.pid, exit_code=code)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, RESPAWN_LIMIT_S)
            if self._is_stopping():
                return
            worker = await self._spawn(number)

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _spawn(self, number: int) -> Worker:
        """A replacement: a process of its own, since the supervisor has threads by now.

        It is given the configuration in force now, so that a broken file does not keep a dead worker from
        its replacement, and the keys that this host knows, for the case that their store is away.
        """
        descriptors = self._listener.fileno(), self._tally.descriptor
        told = self._host.settings, *descriptors, number, self._host.shelf.handed()
        process = self._begin()
        assert process.stdin is not None  # noqa: S101 - asked for
        self._running.add(process.pid)
        # In a thread: more keys than a pipe holds wait until the worker reads.
        message = pickle.dumps(__version__) + pickle.dumps(told)
        await asyncio.to_thread(_tell_all, process.stdin, message)
        return Worker(process.pid, process.wait)

    def _begin(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "tristar.worker"],
            stdin=subprocess.PIPE,
            pass_fds=(self._listener.fileno(), self._tally.descriptor),
        )

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def _exit_code(worker: Worker) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    descriptor = os.pidfd_open(worker.pid)
    loop.add_reader(descriptor, _tell, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return worker.reap()


def _tell_all(pipe: IO[bytes], message: bytes) -> None:
    """Write and close; a worker that is dead already hears nothing."""
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(message)


def _tell(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)
