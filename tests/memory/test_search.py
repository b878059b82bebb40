"""Full-text search: the same finds on every engine."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.memory.test_store import ME, all_of

from tristar.errors import BadRequest
from tristar.memory.entry import Change, Draft, Query
from tristar.memory.store import Store

CORPUS = {
    "breaker": "The circuit breaker is half-open after its cooldown",
    "german": "Die Größe des Gedächtnisses ist begrenzt",
    "japanese": "東京都に住んでいます",
    "version": "Python 3.11 and example.com/path?x=1 are not split by magic",
    "arabic": "مرحبا بالعالم",
}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("breaker", {"breaker"}),
        ("BREAKER cooldown", {"breaker"}),
        ("breaker gedächtnisses", set()),
        ("groesse", set()),
        ("grösse", {"german"}),
        ("grosse", {"german"}),
        ('"half open"', {"breaker"}),
        ('"open half"', set()),
        ("half-open", {"breaker"}),
        ("cool*", {"breaker"}),
        ("cool", set()),
        ("split -breaker", {"version"}),
        ("東京", {"japanese"}),
        ("京都", {"japanese"}),
        ("京東", set()),
        ("3.11", {"version"}),
        ("example path", {"version"}),
        ("مرحبا", {"arabic"}),
        ("***", set()),
        ('"', set()),
        ("is' OR '1'='1", set()),
        ("the is and or not near", set()),
        ("the -and", {"breaker"}),
    ],
)
async def test_a_search_finds_the_entries_that_hold_its_words(
    store: Store, words: str, found: set[str]
) -> None:
    """Without stop words, stems or surprises."""
    ids = {(await store.add(Draft(content), ME)).id: name for name, content in CORPUS.items()}

    assert {ids[entry.id] for entry in await all_of(store, Query(words=words))} == found


async def test_the_best_comes_first_and_scores_fall(store: Store) -> None:
    """An entry about the word beats one that mentions it."""
    filler = " and much else of no interest here" * 20
    mentions = await store.add(Draft("gateway" + filler), ME)
    about = await store.add(Draft("gateway gateway gateway"), ME)
    page = await store.find(Query(words="gateway"), ME)
    scores = [found.score for found in page.found]

    assert [found.entry.id for found in page.found] == [about.id, mentions.id]
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))


async def test_ranked_pages_are_complete(store: Store) -> None:
    """Each entry once, however small the pages."""
    made = {(await store.add(Draft(f"word {'word ' * (n % 3)} {n}"), ME)).id for n in range(11)}
    found = [entry.id for entry in await all_of(store, Query(words="word", limit=4))]

    assert len(found) == 11
    assert set(found) == made


async def test_tags_are_words_of_an_entry(store: Store) -> None:
    """A search by a tag's name finds it."""
    entry = await store.add(Draft("content", tags=("deployment",)), ME)

    assert await all_of(store, Query(words="deployment")) == [entry]


async def test_the_index_follows_changes(store: Store) -> None:
    """Old words are forgotten with the old content, tags as well."""
    entry = await store.add(Draft("before", tags=("old",)), ME)
    changed = await store.change(entry.id, Change(content="after", tags=("new",)), ME)
    found = {word: await all_of(store, Query(words=word)) for word in ("before", "old", "after", "new")}

    assert found == {"before": [], "old": [], "after": [changed], "new": [changed]}
    assert await all_of(store, Query(tags=("old",))) == []
    assert await all_of(store, Query(tags=("new",))) == [changed]


async def test_a_search_ranks_the_newest_of_what_fits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a word that every entry has costs no more than a rare one; conditions come first."""
    monkeypatch.setattr("tristar.memory.statements.RANKED", 3)
    old = await store.add(Draft("word word word", project="blue"), ME)
    newer = [await store.add(Draft(f"word and filler {n}"), ME) for n in range(5)]
    found = await all_of(store, Query(words="word", limit=2))

    assert {entry.id for entry in found} == {entry.id for entry in newer[-3:]}
    assert await all_of(store, Query(words="word", project="blue")) == [old]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(words=st.text(max_size=60) | st.text(alphabet="\"-*()^:&|!<>'\\ AND OR NOT NEAR a1é東", max_size=60))
async def test_any_text_is_a_query(store: Store, words: str) -> None:
    """It finds something, or nothing, or is refused with its field; the engine never sees its syntax."""
    refused = None
    try:
        page = await store.find(Query(words=words), ME)
    except BadRequest as error:
        refused = error

    assert refused.param == "q" if refused else page.next_cursor is None
