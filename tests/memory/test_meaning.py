"""Search by meaning, and by words and meaning together: the same finds on every engine."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.memory.meanings import MODEL, Mind, about, meaning
from tests.memory.test_store import ME, TENANT, all_of
from tests.storage.fixtures import MakeDatabase

from tristar.clock import ManualClock
from tristar.errors import BadRequest
from tristar.memory.entry import Change, Draft, Query
from tristar.memory.search import RANK_OFFSET
from tristar.storage.engine import Database

CAR = "my automobile is red"
OTHERS = ("the postgres server is slow", "lunch is at noon", "errors are logged")


@pytest.fixture
async def mind(database: Database, clock: ManualClock) -> Mind:
    """An empty memory."""
    return Mind(database, clock)


async def test_a_synonym_is_found_where_its_word_is_not(mind: Mind) -> None:
    """The nearest first, with the cosine as its score."""
    car = await mind.store.add(Draft(CAR), ME)
    await mind.store.add_all([Draft(content) for content in OTHERS], ME)
    await mind.embed()
    page = await mind.store.find(about("car"), ME)
    by_words = await mind.store.find(Query(words="car"), ME)

    assert page.found[0].entry == car
    assert (page.found[0].score or 0) > 0.4
    assert by_words.found == []


async def test_what_both_ways_find_stands_before_what_one_finds(mind: Mind) -> None:
    """Reciprocal rank fusion: 1 / (60 + rank) from each."""
    word = await mind.store.add(Draft("car and much else " + "that has nothing to do with it " * 3), ME)
    sense = await mind.store.add(Draft("an automobile"), ME)
    both = await mind.store.add(Draft("car"), ME)
    await mind.embed()
    page = await mind.store.find(about("car", "hybrid"), ME)

    assert [found.entry for found in page.found] == [both, word, sense]
    assert page.found[0].score == pytest.approx(2 / (RANK_OFFSET + 1))


async def test_entries_without_a_vector_are_found_by_their_words(mind: Mind) -> None:
    """As long as they wait for one."""
    await mind.store.add(Draft("an automobile"), ME)
    await mind.embed()
    fresh = await mind.store.add(Draft("a car, just now"), ME)
    page = await mind.store.find(about("car", "hybrid"), ME)

    assert fresh in [found.entry for found in page.found]
    assert len(page.found) == 2


async def test_vectors_of_another_model_are_not_compared(mind: Mind) -> None:
    """Nor those with another number of parts; a renewal lets their entries wait for the new one's."""
    entry = await mind.store.add(Draft(CAR), ME)
    await mind.embed("old-model")
    before = await all_of(mind.store, about("car"))
    renewed = await mind.backlog.renew(MODEL)
    kept = await mind.embed()

    assert before == []
    assert (renewed, kept) == (1, 1)
    assert await all_of(mind.store, about("car")) == [entry]
    assert await all_of(mind.store, about("car", model="old-model")) == []


async def test_conditions_hold_where_the_nearest_do_not_fit_them(
    mind: Mind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The few that fit are found among many that are nearer."""
    monkeypatch.setattr("tristar.memory.search.MEANT", 5)
    monkeypatch.setattr("tristar.memory.search.WIDER", 10)
    await mind.store.add_all([Draft("car") for _ in range(30)], ME)
    wanted = await mind.store.add(
        Draft("automobile of another kind", "decision", "blue", ("t",), confidence=0.9), ME
    )
    await mind.embed()

    for condition in ({"type": "decision"}, {"tags": ("t",)}, {"min_confidence": 0.8}, {"project": "blue"}):
        assert await all_of(mind.store, about("car", **condition)) == [wanted]
    assert await all_of(mind.store, about("car -another", type="decision")) == []


async def test_a_tenant_meets_only_its_projects(mind: Mind) -> None:
    """By meaning as by words; and an entry that is moved to it at once."""
    foreign = await mind.store.add(Draft(CAR, project="red"), ME)
    own = await mind.store.add(Draft("automobile"), TENANT)
    await mind.embed()
    before = await all_of(mind.store, about("car"), TENANT)
    moved = await mind.store.change(foreign.id, Change(project="blue"), ME)
    mind.vectors.outdated()

    assert before == [own]
    assert await all_of(mind.store, about("car"), TENANT) == [own, moved]
    assert await all_of(mind.store, about("car", project="red"), TENANT) == []


async def test_a_changed_content_is_not_found_by_what_it_meant(mind: Mind) -> None:
    """Its old vector goes with the old content; the new one comes with the next embedding."""
    entry = await mind.store.add(Draft(CAR), ME)
    await mind.embed()
    changed = await mind.store.change(entry.id, Change(content="the postgres server"), ME)
    between = await all_of(mind.store, about("car"))
    await mind.embed()

    assert between == []
    assert await all_of(mind.store, about("database")) == [changed]


async def test_what_is_removed_or_expired_is_not_found(
    mind: Mind, clock: ManualClock, database: Database
) -> None:
    """At once; and no vector of it stays in the database."""
    removed = await mind.store.add(Draft(CAR), ME)
    await mind.store.add(Draft("automobile", ttl_s=10), ME)
    await mind.embed()
    await mind.store.remove(removed.id, ME)
    one = await all_of(mind.store, about("car"))
    clock.advance(11)
    none = await all_of(mind.store, about("car"))
    await mind.store.sweep()
    tables = ("embeddings", "vectors", "awaiting")
    counts = ", ".join(f"(SELECT count(*) FROM memory_{table})" for table in tables)
    left = await database.read(lambda connection: connection.execute(text(f"SELECT {counts}")).one())

    assert [entry.content for entry in one] == ["automobile"]
    assert none == []
    assert tuple(left) == (0, 0, 0)


async def test_another_process_finds_what_was_added_here(
    mind: Mind, make_database: MakeDatabase, clock: ManualClock
) -> None:
    """A quarter of a second later at most."""
    other = Mind(make_database(), clock)
    empty = await all_of(other.store, about("car"))
    entry = await mind.store.add(Draft(CAR), ME)
    await mind.embed()
    clock.advance(0.3)

    assert empty == []
    assert await all_of(other.store, about("car")) == [entry]


async def test_pages_are_complete_and_belong_to_their_mode(mind: Mind) -> None:
    """Each entry once, however small the pages; a cursor of one mode is refused by another."""
    made = await mind.store.add_all([Draft(f"car number {n}") for n in range(11)], ME)
    await mind.embed()
    for mode in ("semantic", "hybrid"):
        found = await all_of(mind.store, about("car", mode, limit=4))

        assert sorted(entry.id for entry in found) == sorted(entry.id for entry in made)
    cursor = (await mind.store.find(about("car", limit=4), ME)).next_cursor
    with pytest.raises(BadRequest, match="cursor"):
        await mind.store.find(about("car", "hybrid", limit=4, cursor=cursor), ME)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=st.text(max_size=60) | st.text(alphabet="\"-*()^:&|!<>'\\ AND OR NOT NEAR a1é東", max_size=60))
async def test_any_text_is_a_query(mind: Mind, words: str) -> None:
    """It finds something, or nothing, or is refused with its field."""
    refused = None
    try:
        page = await mind.store.find(Query(words=words, mode="hybrid", meaning=meaning("car")), ME)
    except BadRequest as error:
        refused = error

    assert refused.param == "q" if refused else page.next_cursor is None
