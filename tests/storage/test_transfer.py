"""SQLite's keys and memory in a new PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import text
from tests.memory.meanings import MODEL, Mind, about
from tests.storage.fixtures import clock, empty_postgres, postgres_server
from tests.upstream.meaning import vector

from tristar.auth.keys import Keys, NewKey
from tristar.clock import ManualClock
from tristar.memory.entry import Caller, Change, Draft, Query
from tristar.memory.neighbours import pack
from tristar.memory.opening import open_store
from tristar.memory.postgres import index_row
from tristar.storage.engine import Database
from tristar.storage.opening import open_engine
from tristar.storage.sqlite import FILE_NAME
from tristar.storage.transfer import NotEmpty, transfer

__all__ = ["clock", "empty_postgres", "postgres_server"]

CALLER = Caller("key_1", "0" * 32)
COMPANIONS = {"memory_entries": index_row}


def silent(done: int, total: int) -> None:
    """No progress is shown."""
    assert done <= total


async def filled(data_dir: Path, clock: ManualClock, entries: int = 3) -> Database:
    """A SQLite database with a key, and entries that have tags, votes and a past."""
    source = open_engine(None, data_dir)
    store = open_store(source, clock)
    await Keys(source, clock).make(NewKey(name="one", scopes=("chat",)), "test")
    made = await store.add_all(
        [Draft(f"fact number{n} of Zürich", tags=("geo", f"t{n}")) for n in range(entries)], CALLER
    )
    await store.change(made[0].id, Change(content="another fact, of Genève"), CALLER)
    await store.vote(made[0].id, "validate", "fast", CALLER)
    return source


async def test_everything_arrives_as_it_was(tmp_path: Path, clock: ManualClock, empty_postgres: str) -> None:
    """Keys work; entries are found by word, tag and meaning, with their history; new ones get new numbers."""
    source = await filled(tmp_path, clock, entries=1200)
    here = Mind(source, clock)
    (waiting, *_) = await here.backlog.take(1, 60.0)
    await here.backlog.keep(MODEL, [(waiting, pack(vector(waiting.content, MODEL)))])
    target = open_engine(empty_postgres, tmp_path)
    counts = await transfer(tmp_path / FILE_NAME, target, COMPANIONS, silent)
    old, new = open_store(source, clock), open_store(target, clock)
    before, after = await old.find(Query(limit=100), CALLER), await new.find(Query(limit=100), CALLER)
    found = await new.find(Query(words="genève"), CALLER)
    tagged = await new.find(Query(tags=("t7",)), CALLER)
    there = Mind(target, clock)
    meant = await there.store.find(about(waiting.content), CALLER)
    left = await there.backlog.waiting()
    past = [await store.history(found.found[0].entry.id, CALLER) for store in (old, new)]
    again = await new.vote(found.found[0].entry.id, "validate", "fast", CALLER)
    added = await new.add(Draft("the first in its new home"), CALLER)
    keys = [(await Keys(each, clock).page(10)).keys for each in (source, target)]
    live = await new.live_entries()
    await source.close()
    await target.close()

    assert (counts["keys"], counts["memory_entries"], counts["memory_votes"]) == (1, 1200, 1)
    assert [each.entry for each in after.found] == [each.entry for each in before.found]
    assert tagged.found[0].entry.content == "fact number7 of Zürich"
    assert past[0] == past[1]
    assert [each.entry.content for each in meant.found] == [waiting.content]
    assert left == 1199
    assert again.version == 3, "the vote was there already"
    assert added.version == 1
    assert live == 1201
    assert keys[0] == keys[1]


async def test_a_database_with_something_in_it_is_left_alone(
    tmp_path: Path, clock: ManualClock, empty_postgres: str
) -> None:
    """Nothing is written over, and nothing is added."""
    source = await filled(tmp_path, clock)
    target = open_engine(empty_postgres, tmp_path)
    await transfer(tmp_path / FILE_NAME, target, COMPANIONS, silent)

    with pytest.raises(NotEmpty, match="has rows"):
        await transfer(tmp_path / FILE_NAME, target, COMPANIONS, silent)
    assert await open_store(target, clock).live_entries() == 3
    await source.close()
    await target.close()


async def test_a_transfer_that_breaks_half_way_leaves_nothing(
    tmp_path: Path, clock: ManualClock, empty_postgres: str
) -> None:
    """One transaction: it can be tried again."""
    source = await filled(tmp_path, clock)
    target = open_engine(empty_postgres, tmp_path)

    def breaking(done: int, _total: int) -> None:
        if done > 3:
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="plug"):
        await transfer(tmp_path / FILE_NAME, target, COMPANIONS, breaking)
    rows = await target.read(
        lambda connection: connection.execute(text("SELECT count(*) FROM keys")).scalar()
    )
    counts = await transfer(tmp_path / FILE_NAME, target, COMPANIONS, silent)
    await source.close()
    await target.close()

    assert rows == 0
    assert counts["memory_entries"] == 3
