"""What goes along with a question."""

import pytest
from tests.memory.test_store import ME

from tristar.errors import BadRequest
from tristar.memory.entry import Caller, Draft
from tristar.memory.recall import Scope, recall
from tristar.memory.store import Store


async def test_an_entry_with_most_of_the_words_comes_first(store: Store) -> None:
    """One word suffices; common words find nothing by themselves."""
    await store.add(Draft("The staging database runs PostgreSQL"), ME)
    best = await store.add(Draft("The production database runs PostgreSQL on port 6432"), ME)
    await store.add(Draft("Lunch is at noon, and the canteen is on the ground floor"), ME)

    found = await recall(store, "What port has the production database, and who runs it?", Scope(), ME)

    assert found.entries[0].id == best.id
    assert [entry.content.split()[1] for entry in found.entries] == ["production", "staging"]
    assert "- (fact, confidence 0.5) The production database" in found.note
    assert found.note.startswith("Notes from the shared memory")


@pytest.mark.parametrize("question", ["", "What is it that you have there?", "…?!", "a b c"])
async def test_a_question_without_a_telling_word_brings_nothing(store: Store, question: str) -> None:
    """No note at all, rather than an empty one."""
    await store.add(Draft("what is it that you have there"), ME)

    found = await recall(store, question, Scope(), ME)

    assert (found.note, list(found.entries)) == ("", [])


async def test_the_note_stays_within_its_tokens(store: Store) -> None:
    """What does not fit is left out, and a shorter one behind it may still go."""
    await store.add(Draft("alpha alpha alpha " + "x" * 2000), ME)
    short = await store.add(Draft("alpha in short"), ME)

    found = await recall(store, "alpha?", Scope(max_tokens=100), ME)

    assert [entry.id for entry in found.entries] == [short.id]
    assert len(found.note.encode()) <= 400


async def test_the_scope_narrows(store: Store) -> None:
    """Project, type, tags and confidence; a caller's own projects before them."""
    blue = await store.add(Draft("gamma", project="blue", type="decision", tags=("t",), confidence=0.9), ME)
    await store.add(Draft("gamma", project="red", confidence=0.9), ME)
    await store.add(Draft("gamma", project="blue", confidence=0.1), ME)
    scopes = (
        Scope(project="blue", min_confidence=0.5),
        Scope(type="decision"),
        Scope(tags=("t",)),
    )
    blue_only = Caller("key_2", "0" * 32, frozenset({"blue"}))

    found = [[e.id for e in (await recall(store, "gamma", scope, ME)).entries] for scope in scopes]
    own = await recall(store, "gamma", Scope(), blue_only)

    assert found == [[blue.id]] * 3
    assert {entry.project for entry in own.entries} == {"blue"}


async def test_a_question_of_any_length_and_kind_is_taken(store: Store) -> None:
    """Long, in another script, in the index's own syntax."""
    entry = await store.add(Draft("東京都に住んでいます"), ME)
    await recall(store, "supercalifragilistic" * 5000, Scope(), ME)
    await recall(store, " ".join(f"word{n}" for n in range(5000)), Scope(), ME)
    await recall(store, 'NEAR("x" OR *) AND NOT -y & | ! :* \x00', Scope(), ME)

    assert [each.id for each in (await recall(store, "東京", Scope(), ME)).entries] == [entry.id]


@pytest.mark.parametrize(
    "scope", [Scope(limit=0), Scope(limit=21), Scope(max_tokens=0), Scope(max_tokens=9999)]
)
async def test_numbers_out_of_range_are_refused(store: Store, scope: Scope) -> None:
    """The field is named as the client wrote it."""
    with pytest.raises(BadRequest, match=r"memory\.(limit|max_tokens)"):
        await recall(store, "x", scope, ME)
