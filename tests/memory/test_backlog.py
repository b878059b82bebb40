"""The queue of entries that await their vector."""

import asyncio
from itertools import chain

from tests.memory.meanings import MODEL, Mind, about
from tests.memory.test_store import ME, all_of
from tests.storage.fixtures import MakeDatabase
from tests.upstream.meaning import vector

from tristar.clock import ManualClock
from tristar.memory.backlog import EMBEDDED_CHARS, FIRST_WAIT_S, LONGEST_WAIT_S, Waiting
from tristar.memory.entry import Change, Draft
from tristar.memory.neighbours import pack


async def test_each_entry_is_taken_on_by_one(make_database: MakeDatabase, clock: ManualClock) -> None:
    """However many processes ask at once; the newest first."""
    minds = [Mind(make_database(), clock) for _ in range(3)]
    await minds[0].store.add_all([Draft(f"entry {n}") for n in range(40)], ME)
    taken = await asyncio.gather(*(mind.backlog.take(5, 60.0) for mind in minds * 4))
    seqs = [each.seq for each in chain.from_iterable(taken)]

    assert len(seqs) == len(set(seqs)) == 40
    assert await minds[0].backlog.waiting() == 40


async def test_what_a_dead_process_had_taken_is_taken_again(
    make_database: MakeDatabase, clock: ManualClock
) -> None:
    """Once its lease is over."""
    mind = Mind(make_database(), clock)
    await mind.store.add(Draft("x"), ME)
    first = await mind.backlog.take(5, 60.0)
    during = await mind.backlog.take(5, 60.0)
    clock.advance(61)

    assert during == ()
    assert await mind.backlog.take(5, 60.0) == first


async def test_a_vector_of_what_an_entry_no_longer_says_is_not_kept(
    make_database: MakeDatabase, clock: ManualClock
) -> None:
    """It was changed, or removed, while the llm thought."""
    mind = Mind(make_database(), clock)
    changed = await mind.store.add(Draft("car"), ME)
    removed = await mind.store.add(Draft("car"), ME)
    taken = await mind.backlog.take(5, 60.0)
    await mind.store.change(changed.id, Change(content="lunch"), ME)
    await mind.store.remove(removed.id, ME)
    kept = await mind.backlog.keep(MODEL, [(each, pack(vector(each.content, MODEL))) for each in taken])
    mind.vectors.outdated()

    assert kept == 0
    assert await mind.backlog.waiting() == 1, "the changed one waits for the vector of what it says now"
    assert await all_of(mind.store, about("car")) == []


async def test_what_is_given_back_can_be_taken_at_once(
    make_database: MakeDatabase, clock: ManualClock
) -> None:
    """By anybody, or after a wait."""
    mind = Mind(make_database(), clock)
    await mind.store.add(Draft("x"), ME)
    taken = await mind.backlog.take(5, 60.0)
    await mind.backlog.give_back(taken, 0.0)
    again = await mind.backlog.take(5, 60.0)
    await mind.backlog.give_back(again, 10.0)

    assert again == taken
    assert await mind.backlog.take(5, 60.0) == ()


async def test_what_the_llm_refuses_is_tried_ever_more_seldom(
    make_database: MakeDatabase, clock: ManualClock
) -> None:
    """Twice as long each time, a day at most; a new content begins anew."""
    mind = Mind(make_database(), clock)
    entry = await mind.store.add(Draft("x"), ME)
    waits = []
    for _ in range(14):
        (taken,) = await mind.backlog.take(5, 1.0)
        await mind.backlog.refuse(taken)
        waits.append(min(FIRST_WAIT_S * 2**taken.tries, LONGEST_WAIT_S))
        clock.advance(waits[-1] - 0.01)
        too_soon = await mind.backlog.take(5, 1.0)
        clock.advance(0.02)

        assert too_soon == ()
    await mind.store.change(entry.id, Change(content="y"), ME)

    assert waits[:3] == [60, 120, 240]
    assert waits[-1] == LONGEST_WAIT_S
    assert [each.tries for each in await mind.backlog.take(5, 1.0)] == [0]


async def test_of_a_long_content_the_beginning_is_embedded(
    make_database: MakeDatabase, clock: ManualClock
) -> None:
    """An embedding llm reads no more."""
    mind = Mind(make_database(), clock)
    await mind.store.add(Draft("é" * (EMBEDDED_CHARS + 5)), ME)
    (taken,) = await mind.backlog.take(5, 1.0)

    assert isinstance(taken, Waiting)
    assert taken.content == "é" * EMBEDDED_CHARS
