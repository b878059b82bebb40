"""The log shared by processes, event loops and instances that only import the library."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tests.audit.bench import Bench, draft
from tests.audit.sharing import access_to

from tristar.audit.access import handover
from tristar.audit.listener import AuditSocket
from tristar.audit.writer import WriterBusy


async def test_a_path_of_any_length_will_do(tmp_path: Path) -> None:
    """The socket works where its path is longer than a socket address has room for."""
    root = tmp_path / ("x" * 120) / ("y" * 120)
    first, second = access_to(root, "a"), access_to(root, "b")
    async with first, second:
        numbers = [await first.append(draft("one")), await second.append(draft("two"))]

    assert numbers == [0, 1]


def test_several_event_loops_share_one_access(tmp_path: Path) -> None:
    """Loops of several threads, and one loop after another, append through the same object."""
    access, numbers = access_to(tmp_path, "a"), []

    async def append(name: str) -> None:
        numbers.append(await access.append(draft(name)))

    threads = [threading.Thread(target=asyncio.run, args=(append(f"t{n}"),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(append("later"))
    access.close()

    assert sorted(numbers) == [0, 1, 2, 3, 4]


def test_making_an_access_touches_nothing(tmp_path: Path) -> None:
    """No directory, no key, no thread before the first append."""
    threads = threading.active_count()
    access_to(tmp_path, "a").close()

    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


async def test_a_script_hands_the_log_over_to_a_gateway(tmp_path: Path) -> None:
    """`handover` makes the library writer let go; it goes on as the gateway's client."""
    bench, script = Bench(tmp_path), access_to(tmp_path, "a")
    assert await script.append(draft("before")) == 0

    def take_over() -> object:
        with handover(bench.directory):
            return bench.open()

    writer = await asyncio.to_thread(take_over)
    served = await AuditSocket.serve(writer)  # type: ignore[arg-type]  # what `take_over` returns
    number = await script.append(draft("after"))
    await script.aclose()
    await asyncio.to_thread(writer.close)  # type: ignore[attr-defined]  # the same
    await served.close()

    assert number > 0
    assert bench.event_ids() == ["before", "after"]


async def test_a_gateway_does_not_hand_over(tmp_path: Path) -> None:
    """A second gateway is refused at once, and says why."""
    bench = Bench(tmp_path)
    writer = bench.open()
    served = await AuditSocket.serve(writer)

    def take_over() -> None:
        with handover(bench.directory, timeout_s=5):
            pass

    with pytest.raises(WriterBusy, match="stays"):
        await asyncio.to_thread(take_over)
    await asyncio.to_thread(writer.close)
    await served.close()


def test_a_forked_child_begins_anew(tmp_path: Path) -> None:
    """A child that inherited a writing access appends through its parent, and frees nothing of it."""
    access = access_to(tmp_path, "a")
    asyncio.run(access.append(draft("parent")))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            asyncio.run(access.append(draft("child")))
            access.close()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    asyncio.run(access.append(draft("parent again")))
    access.close()

    assert status == 0
    assert Bench(tmp_path).event_ids() == ["parent", "child", "parent again"]
