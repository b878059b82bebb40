"""kill -9 in the middle of writing."""

import subprocess
import sys
import time

from sqlalchemy import text
from tests.memory.test_store import ME, all_of
from tests.storage.fixtures import MakeDatabase, Place

from tristar.clock import SystemClock
from tristar.memory.entry import Query
from tristar.memory.opening import open_store

WRITER = """
import asyncio, pathlib, sys
from tristar.clock import SystemClock
from tristar.memory.entry import Caller, Change, Draft
from tristar.memory.opening import open_store
from tristar.storage.opening import open_engine

async def write(store, me):
    while True:
        entry = await store.add(Draft("kept " * 50, tags=("a", "b")), me)
        sys.stdout.write(f"{entry.id} 1\\n")
        entry = await store.change(entry.id, Change(content="changed " * 50), me, 1)
        sys.stdout.write(f"{entry.id} 2\\n")
        sys.stdout.flush()

async def main():
    store = open_store(open_engine(sys.argv[1] or None, pathlib.Path(sys.argv[2])), SystemClock())
    await asyncio.gather(*(write(store, Caller("key_1", "1" * 32)) for _ in range(4)))

asyncio.run(main())
"""
KILLS = 3
ACKNOWLEDGED = 60


def written_until_killed(place: Place) -> dict[str, int]:
    """The last acknowledged version of each entry of a writer that was killed."""
    run = [sys.executable, "-c", WRITER, place.url or "", str(place.data_dir)]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(ACKNOWLEDGED)]
        time.sleep(0.05)  # so that the kill falls into the middle of something
        writer.kill()
        lines += writer.stdout.readlines()
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    return {entry_id: int(version) for entry_id, version in acknowledged}


async def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_nothing_half_done(
    place: Place, make_database: MakeDatabase
) -> None:
    """Each acknowledged version is there; each entry has its whole history, tags and words."""
    acknowledged: dict[str, int] = {}
    for _ in range(KILLS):
        acknowledged |= written_until_killed(place)
    database = make_database()
    store = open_store(database, SystemClock())
    found = {entry.id: entry for entry in await all_of(store, Query(limit=100))}
    whole = await database.read(
        lambda connection: connection.execute(
            text(
                "SELECT (SELECT count(*) FROM memory_entries), (SELECT count(*) FROM memory_words), "
                "(SELECT count(*) FROM memory_tags) / 2, (SELECT sum(version) FROM memory_entries), "
                "(SELECT count(*) FROM memory_history)"
            )
        ).one()
    )

    assert len(acknowledged) > KILLS * ACKNOWLEDGED / 3
    assert all(found[entry_id].version >= version for entry_id, version in acknowledged.items())
    assert whole[0] == whole[1] == whole[2] == len(found)
    assert whole[3] == whole[4]
    assert {ME.key_id} == {entry.created_by for entry in found.values()}
