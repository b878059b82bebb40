"""Processes that run within milliseconds: forked from one that has imported everything once."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from tests.audit.sharing import access_to, append_all


class Nursery:
    """Starts processes that append to the log under one root, and remembers what each acknowledged."""

    def __init__(self, root: Path, *, segment_bytes: int = 100_000) -> None:
        self.root = root
        self._segment_bytes = segment_bytes
        self._told = root / "told"
        self._told.mkdir(parents=True)
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self.living: list[ForkServerProcess] = []

    def start(self, name: str, count: int, lanes: int) -> ForkServerProcess:
        """Begin a process that appends so many records through the library, so many at a time."""
        access = {"root": str(self.root), "segment_bytes": self._segment_bytes}
        return self.start_other(
            _append, access=access, name=name, count=count, lanes=lanes, told=str(self._told / name)
        )

    def start_other(self, work: Callable[..., None], **arguments: object) -> ForkServerProcess:
        """Begin a process that does this; a function at the top of a module."""
        process = self._context.Process(target=work, kwargs=arguments, daemon=True)
        process.start()
        self.living.append(process)
        return process

    def kill(self, process: ForkServerProcess) -> None:
        """SIGKILL, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGKILL)
        self.wait(process)

    def wait(self, process: ForkServerProcess) -> int:
        """Wait for its end; the exit code."""
        process.join()
        code = process.exitcode
        process.close()
        self.living.remove(process)
        return -1 if code is None else code

    def told_bytes(self) -> int:
        """How much was acknowledged up to now, as a size that only grows."""
        return sum(path.stat().st_size for path in self._told.iterdir())

    def acknowledged(self) -> list[str]:
        """The event ids that were acknowledged; a name that was cut off by a kill was not."""
        return [name for path in self._told.iterdir() for name in path.read_text().split("\n")[:-1]]

    def close(self) -> None:
        """End what still runs."""
        for process in list(self.living):
            self.kill(process)


def _append(*, access: Mapping[str, Any], name: str, count: int, lanes: int, told: str) -> None:
    descriptor = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    log = access_to(Path(access["root"]), name, segment_bytes=access["segment_bytes"])
    asyncio.run(append_all(log, name, count, lanes, descriptor))
    log.close()
