"""Connections that come to workers which share a listening socket."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from tristar.edge import turnstile
from tristar.edge.tally import Place, Tally
from tristar.edge.turnstile import FAR, Turnstile


class Worker:
    """One that counts what it takes."""

    def __init__(self, tally: Tally, number: int) -> None:
        self.place = Place(tally, number)
        self.taken: list[socket.socket] = []
        tally.set(number, 0)

    @contextlib.contextmanager
    def at(self, listener: socket.socket) -> Iterator[None]:
        """Its turnstile is open, on a descriptor of its own, as a process has one."""
        with listener.dup() as own:
            made = Turnstile(asyncio.get_running_loop(), own, self.place, self.admit)
            made.open()
            yield
            made.close()

    def admit(self, taken: socket.socket) -> None:
        """Kept, and told."""
        self.taken.append(taken)
        self.place.tally.set(self.place.number, len(self.taken))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where clients connect."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        made.settimeout(0)
        yield made


@contextlib.contextmanager
def clients(listener: socket.socket, count: int) -> Iterator[None]:
    """So many, all at once."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        yield


async def all_in(*workers: Worker, count: int) -> None:
    """Wait until so many were taken."""
    async with asyncio.timeout(10):
        while sum(len(worker.taken) for worker in workers) < count:  # noqa: ASYNC110 - the loop's own turns are what is waited for
            await asyncio.sleep(0)
    for worker in workers:
        for taken in worker.taken:
            taken.close()


@pytest.mark.parametrize("others", [1, 3])
async def test_clients_that_come_together_are_shared_out(listener: socket.socket, others: int) -> None:
    """To within one."""
    tally = Tally.make(1 + others)
    workers = [Worker(tally, number) for number in range(1 + others)]
    with clients(listener, 60), contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker.at(listener))
        await all_in(*workers, count=60)
    counts = [len(worker.taken) for worker in workers]
    assert max(counts) - min(counts) <= 1


async def test_who_has_most_takes_none_until_the_others_have_as_many(listener: socket.socket) -> None:
    """As after a worker was replaced."""
    tally = Tally.make(2)
    old, new = Worker(tally, 0), Worker(tally, 1)
    tally.leave(1)
    with clients(listener, 10), old.at(listener):
        await all_in(old, count=10)
        tally.set(1, 0)
        with new.at(listener), clients(listener, 10):
            await all_in(new, count=10)
    assert (len(old.taken), len(new.taken)) == (10, 10)


async def test_nobody_waits_for_a_worker_that_does_not_come(listener: socket.socket) -> None:
    """It is present, as far as the tally knows, and hangs."""
    tally = Tally.make(2)
    alive, _hanging = Worker(tally, 0), Worker(tally, 1)
    with clients(listener, FAR + 20), alive.at(listener):
        await all_in(alive, count=FAR + 20)


async def test_without_descriptors_it_looks_again_later(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client waits meanwhile."""
    monkeypatch.setattr(turnstile, "FULL_S", 0.01)
    tally = Tally.make(1)
    worker = Worker(tally, 0)

    class Full:
        """A process that may open one more from the second time on."""

        def __init__(self) -> None:
            self.asked = 0

        def dup(self) -> "contextlib.nullcontext[Full]":
            return contextlib.nullcontext(self)

        def fileno(self) -> int:
            return listener.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            self.asked += 1
            if self.asked == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return listener.accept()

    with clients(listener, 1), worker.at(Full()):  # type: ignore[arg-type]  # what it uses of a socket
        await all_in(worker, count=1)
