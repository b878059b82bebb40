"""The guarantees of a memory store, on every engine."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text
from tests.memory.conftest import MakeStore

from tristar.clock import ManualClock
from tristar.errors import BadRequest, Forbidden, NotFound
from tristar.memory.entry import (
    CONTENT_BYTES,
    Caller,
    Change,
    Count,
    Draft,
    Entry,
    Query,
    VersionMismatch,
    Vote,
    content_hash,
)
from tristar.memory.store import Store
from tristar.storage.engine import Database

ME = Caller("key_1", "1" * 32)
OTHER = Caller("key_2", "2" * 32)
TENANT = Caller("key_3", "3" * 32, frozenset({"blue"}))

STRANGE = (
    "\u202eمرحب'; DROP TABLE memory_entries; -- \" \\ % _ {} :name $1 ?",
    '"AND" NEAR(a b, 3) * ^ : -x (',
    "👩‍🚀\r\n\x01\x1b[31m\u2028",
    "\ufeffé\u0301\U0010ffff",
)


async def all_of(store: Store, query: Query, caller: Caller = ME) -> list[Entry]:
    """Every entry that fits, page by page."""
    found: list[Entry] = []
    while True:
        page = await store.find(query, caller)
        found += [hit.entry for hit in page.found]
        if page.next_cursor is None:
            return found
        query = replace(query, cursor=page.next_cursor)


async def test_an_entry_is_what_was_stored(store: Store, clock: ManualClock) -> None:
    """Every field comes back, with its author, trace, version, hash and times."""
    draft = Draft("a", "decision", "blue", ("y", "x", "y"), 0.25, 0.75, llm_id="fast", ttl_s=1.5)
    entry = await store.add(draft, ME)
    now_us = round(clock.time() * 1e6)

    assert await store.get(entry.id, OTHER) == entry
    assert entry == Entry(
        entry.id, "a", "decision", "blue", ("x", "y"), 0.25, 0.75, "key_1", "fast", "1" * 32, 1,
        content_hash("a"), now_us, now_us, now_us + 1_500_000,
    )  # fmt: skip


@pytest.mark.parametrize("content", [*STRANGE, "x" * CONTENT_BYTES, " ab" * (CONTENT_BYTES // 3)])
async def test_strange_content_comes_back_unchanged(store: Store, content: str) -> None:
    """Byte for byte, and is itself a harmless query."""
    entry = await store.add(Draft(content, tags=("plain",)), ME)
    await store.find(Query(words=content[:100].replace("-", " ")), ME)

    assert (await store.get(entry.id, ME)).content == content
    assert await all_of(store, Query(words="plain")) == [entry]


async def test_a_text_of_nothing_but_new_words_can_be_stored(store: Store) -> None:
    """The largest word list that a content can have fits the engine's index."""
    words = " ".join(f"{number:05x}" for number in range(CONTENT_BYTES // 6))
    singles = "".join(chr(0x4E00 + number % 20_000) for number in range(CONTENT_BYTES // 3))
    first = await store.add(Draft(words), ME)
    second = await store.add(Draft(singles), ME)

    assert await all_of(store, Query(words="0a0a0")) == [first]
    assert await all_of(store, Query(words="一丁")) == [second]


async def test_a_change_counts_the_version_up_and_keeps_what_was(store: Store, clock: ManualClock) -> None:
    """History has every version with its author; fields that were not named stay."""
    entry = await store.add(Draft("first", tags=("t",), ttl_s=100), ME)
    clock.advance(5)
    changed = await store.change(entry.id, Change(content="second", llm_id="deep"), OTHER, 1)
    history = await store.history(entry.id, ME)

    assert changed == replace(
        entry, content="second", content_hash=content_hash("second"), version=2,
        updated_at_us=entry.updated_at_us + 5_000_000,
    )  # fmt: skip
    assert [(past.version, past.change, past.content, past.changed_by, past.llm_id) for past in history] == [
        (1, "created", "first", "key_1", None),
        (2, "updated", "second", "key_2", "deep"),
    ]


async def test_a_change_can_move_or_remove_the_end(store: Store, clock: ManualClock) -> None:
    """`ttl_s` counts from the change; `keep` keeps for ever."""
    entry = await store.add(Draft("x", ttl_s=10), ME)
    clock.advance(8)
    await store.change(entry.id, Change(ttl_s=10), ME)
    clock.advance(8)
    await store.change(entry.id, Change(keep=True), ME)
    clock.advance(1000)

    assert (await store.get(entry.id, ME)).expires_at_us is None


async def test_a_change_of_another_version_writes_nothing(store: Store) -> None:
    """The one who read an older version is told, for change and removal alike."""
    entry = await store.add(Draft("first"), ME)
    await store.change(entry.id, Change(content="second"), ME, 1)
    with pytest.raises(VersionMismatch, match="at version 2, not 1"):
        await store.change(entry.id, Change(content="lost"), OTHER, 1)
    with pytest.raises(VersionMismatch):
        await store.remove(entry.id, OTHER, 1)

    assert (await store.get(entry.id, ME)).content == "second"


async def test_of_many_simultaneous_changes_of_one_version_one_wins(make_store: MakeStore) -> None:
    """Across workers and replicas, nobody overwrites what they have not seen."""
    stores = [make_store() for _ in range(3)]
    entry = await stores[0].add(Draft("0"), ME)
    tries = [store.change(entry.id, Change(content=f"try {n}"), ME, 1) for n, store in enumerate(stores * 4)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    won = [end for end in ended if isinstance(end, Entry)]

    assert len(won) == 1
    assert all(isinstance(end, Entry | VersionMismatch) for end in ended)
    assert await stores[1].get(entry.id, ME) == won[0]


async def test_no_unconditional_change_is_lost(make_store: MakeStore) -> None:
    """Without a version named, changes follow each other: each has its place in the history."""
    stores = [make_store() for _ in range(3)]
    entry = await stores[0].add(Draft("x", importance=0), ME)
    await asyncio.gather(
        *(store.change(entry.id, Change(tags=(f"t{n}",)), ME) for n, store in enumerate(stores * 5))
    )
    history = await stores[0].history(entry.id, ME)

    assert [past.version for past in history] == list(range(1, 17))
    assert {past.tags[0] for past in history[1:]} == {f"t{n}" for n in range(15)}


async def test_a_removed_entry_is_gone_with_its_history(store: Store, database: Database) -> None:
    """No method finds it, and no table has a row of it."""
    entry = await store.add(Draft("secret", tags=("t",)), ME)
    await store.change(entry.id, Change(content="secret too"), ME)
    await store.vote(entry.id, "validate", "fast", ME)
    removed = await store.remove(entry.id, ME)
    tables = ("memory_entries", "memory_tags", "memory_history", "memory_votes", "memory_words")
    left = [
        await database.read(lambda c, t=table: c.execute(text(f"SELECT count(*) FROM {t}")).scalar_one())  # type: ignore[misc]  # mypy cannot type a lambda's default
        for table in tables
    ]

    assert removed.content == "secret too"
    assert left == [0, 0, 0, 0, 0]
    for gone in (store.get(entry.id, ME), store.remove(entry.id, ME), store.history(entry.id, ME)):
        with pytest.raises(NotFound):
            await gone


@pytest.mark.parametrize("entry_id", ["", "mem_1", "\0", "\ud800", "mem_" + "0" * 32, "'; --", "x" * 10_000])
async def test_an_id_that_is_none_is_not_found(store: Store, entry_id: str) -> None:
    """Whatever the client sends as an id."""
    with pytest.raises(NotFound) as refused:
        await store.get(entry_id, ME)

    assert len(refused.value.message) < 500


async def test_an_expired_entry_vanishes_at_once_everywhere(
    make_store: MakeStore, clock: ManualClock
) -> None:
    """From reads, lists, searches, changes and the count, before anything is swept."""
    store, other = make_store(), make_store()
    entry = await store.add(Draft("soon gone", ttl_s=10), ME)
    await store.add(Draft("stays"), ME)
    clock.advance(9.999999)
    before = (await store.live_entries(), await other.live_entries())
    clock.advance(0.000002)

    assert before == (2, 2)
    assert (await store.live_entries(), await other.live_entries()) == (1, 1)
    assert [found.content for found in await all_of(other, Query())] == ["stays"]
    assert await all_of(store, Query(words="gone")) == []
    for gone in (
        store.get(entry.id, ME),
        store.change(entry.id, Change(keep=True), ME),
        store.remove(entry.id, ME),
        store.vote(entry.id, "validate", "fast", ME),
        store.history(entry.id, ME),
    ):
        with pytest.raises(NotFound):
            await gone


async def test_sweeping_deletes_what_expired_and_nothing_else(store: Store, clock: ManualClock) -> None:
    """In portions, until there is nothing left to do."""
    for _ in range(5):
        await store.add(Draft("short", ttl_s=1), ME)
    await store.add(Draft("long", ttl_s=1000), ME)
    await store.add(Draft("for ever"), ME)
    clock.advance(2)

    assert [await store.sweep(3), await store.sweep(3), await store.sweep(3)] == [3, 2, 0]
    assert await store.live_entries() == 2


async def test_a_vote_moves_the_confidence_once_per_llm(store: Store) -> None:
    """Plus 0.05 or minus 0.1; a repeated vote changes nothing, not even the version."""
    entry = await store.add(Draft("x", confidence=0.5), ME)
    votes: list[tuple[Vote, str]] = [("validate", "a"), ("validate", "a"), ("validate", "b")]
    votes += [("contradict", "a"), ("contradict", "a")]
    seen = []
    for vote, llm_id in votes:
        after = await store.vote(entry.id, vote, llm_id, OTHER)
        seen.append((after.confidence, after.version))
    history = await store.history(entry.id, ME)

    assert seen == [(0.55, 2), (0.55, 2), (0.6, 3), (0.5, 4), (0.5, 4)]
    assert [(past.change, past.llm_id) for past in history[1:]] == [
        ("validated", "a"),
        ("validated", "b"),
        ("contradicted", "a"),
    ]


async def test_a_vote_is_on_the_content_that_it_saw(store: Store) -> None:
    """New content can be confirmed anew."""
    entry = await store.add(Draft("x"), ME)
    await store.vote(entry.id, "validate", "a", ME)
    await store.change(entry.id, Change(content="y"), ME)

    assert (await store.vote(entry.id, "validate", "a", ME)).confidence == 0.6


async def test_simultaneous_votes_of_one_llm_count_once(make_store: MakeStore) -> None:
    """Across workers too."""
    stores = [make_store() for _ in range(3)]
    entry = await stores[0].add(Draft("x"), ME)
    await asyncio.gather(*(store.vote(entry.id, "validate", "a", ME) for store in stores * 3))

    assert (await stores[0].get(entry.id, ME)).confidence == 0.55


@pytest.mark.parametrize(("start", "vote", "end"), [(0.98, "validate", 1.0), (0.05, "contradict", 0.0)])
async def test_confidence_stays_between_0_and_1(store: Store, start: float, vote: Vote, end: float) -> None:
    """However many vote."""
    entry = await store.add(Draft("x", confidence=start), ME)

    assert (await store.vote(entry.id, vote, "a", ME)).confidence == end


async def test_a_tenant_sees_and_touches_only_its_projects(store: Store) -> None:
    """An entry of another project does not exist for it, in any method."""
    foreign = await store.add(Draft("shared word", project="red", tags=("t",)), ME)
    own = await store.add(Draft("shared word", tags=("t",)), TENANT)
    for refused in (
        store.get(foreign.id, TENANT),
        store.change(foreign.id, Change(content="x"), TENANT),
        store.remove(foreign.id, TENANT),
        store.vote(foreign.id, "contradict", "a", TENANT),
        store.history(foreign.id, TENANT),
    ):
        with pytest.raises(NotFound):
            await refused

    assert own.project == "blue"
    for query in (Query(), Query(words="shared"), Query(tags=("t",))):
        assert await all_of(store, query, TENANT) == [own]
    assert await all_of(store, Query(project="red"), TENANT) == []


async def test_a_tenant_cannot_put_anything_elsewhere(store: Store) -> None:
    """Neither a new entry nor an own one by changing its project."""
    own = await store.add(Draft("x"), TENANT)
    two = replace(TENANT, projects=frozenset({"blue", "green"}))
    for refused in (
        store.add(Draft("x", project="red"), TENANT),
        store.change(own.id, Change(project="red"), TENANT),
        store.add(Draft("x"), two),
    ):
        with pytest.raises(Forbidden, match="has no access to project"):
            await refused

    assert await store.live_entries() == 1


async def test_a_list_is_newest_first_and_complete_page_by_page(store: Store) -> None:
    """Entries that come meanwhile neither repeat nor hide any."""
    made = [await store.add(Draft(f"entry {n}"), ME) for n in range(7)]
    first = await store.find(Query(limit=3), ME)
    await store.add(Draft("meanwhile"), ME)
    rest = await all_of(store, Query(limit=3, cursor=first.next_cursor))

    assert [found.entry for found in first.found] + rest == made[::-1]


async def test_conditions_add_up(store: Store) -> None:
    """Type, project, every tag and the least confidence, in lists and searches alike."""
    wanted = await store.add(Draft("word", "code", "blue", ("a", "b"), confidence=0.8), ME)
    for miss in (
        Draft("word", "fact", "blue", ("a", "b"), confidence=0.8),
        Draft("word", "code", "red", ("a", "b"), confidence=0.8),
        Draft("word", "code", "blue", ("a",), confidence=0.8),
        Draft("word", "code", "blue", ("a", "b"), confidence=0.7),
    ):
        await store.add(miss, ME)
    conditions = Query(type="code", project="blue", tags=("a", "b"), min_confidence=0.75)

    assert await all_of(store, conditions) == [wanted]
    assert await all_of(store, replace(conditions, words="word")) == [wanted]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (Query(limit=0), "limit"),
        (Query(limit=101), "limit"),
        (Query(words="x" * 1001), "q"),
        (Query(words="-only -absent"), "q"),
        (Query(words="w " * 65), "q"),
        (Query(type="rumour"), "type"),  # type: ignore[arg-type]  # what a caller without types can send
        (Query(project="\0"), "project"),
        (Query(tags=("\0",)), "tags"),
        (Query(cursor="nonsense"), "cursor"),
        (Query(words="x", cursor="nonsense"), "cursor"),
    ],
)
async def test_a_query_out_of_range_is_refused_with_the_field(store: Store, query: Query, param: str) -> None:
    """Before the engine sees it."""
    with pytest.raises(BadRequest) as refused:
        await store.find(query, ME)

    assert refused.value.param == param


async def test_the_census_counts_by_project_and_type(store: Store, clock: ManualClock) -> None:
    """The largest first; what has expired does not count, and nobody sees projects of others."""
    await store.add_all(
        [Draft("a", "fact", "blue"), Draft("b", "fact", "blue"), Draft("c", "todo", "red")], ME
    )
    await store.add(Draft("gone", "fact", "red", ttl_s=1), ME)
    clock.advance(2)

    assert await store.census(ME) == [Count("blue", "fact", 2), Count("red", "todo", 1)]
    assert await store.census(TENANT) == [Count("blue", "fact", 2)]
