"""One person forgotten: every entry about them, and every byte of it in the database's files."""

from pathlib import Path

import pytest
from tests.memory.meanings import MODEL, Mind
from tests.memory.test_store import ME, TENANT, all_of
from tests.storage.fixtures import MakeDatabase, Place
from tests.upstream.meaning import vector

from tristar.clock import ManualClock
from tristar.errors import BadRequest
from tristar.memory.entry import Change, Draft, Query, check_draft
from tristar.memory.neighbours import pack

ANNA, BERT = "anna-4711", "bert"
CANARIES = ("canarycontent", "canarybefore", "canarytag", "canarylong")


def bytes_of(folder: Path) -> bytes:
    """Every byte of the database's files, its log included."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*")) if path.is_file())


async def filled(mind: Mind) -> None:
    """Entries about Anna, with a past, tags and vectors, among many about Bert and about nobody."""
    for number in range(30):
        await mind.store.add(Draft(f"about bert {number} " + "filler " * 40, subject=BERT), ME)
    first = await mind.store.add(Draft("canarybefore", tags=("canarytag",), subject=ANNA), ME)
    await mind.store.change(first.id, Change(content="canarycontent"), ME)
    await mind.store.add(Draft("canarylong " * 2000, project="blue", subject=ANNA, ttl_s=1), TENANT)
    await mind.store.add_all([Draft(f"about nobody {number}") for number in range(30)], ME)
    await mind.embed()


@pytest.fixture
async def mind(make_database: MakeDatabase, clock: ManualClock) -> Mind:
    """A memory with something in it."""
    made = Mind(make_database(), clock)
    await filled(made)
    return made


async def test_a_person_is_forgotten_in_every_project_and_nobody_else(mind: Mind, clock: ManualClock) -> None:
    """Entries that have expired and wait to be swept included; again: there is nothing left."""
    clock.advance(2)
    known = await mind.store.about(ANNA)
    gone = await mind.store.forget(ANNA)

    assert (len(known), gone) == (2, 2)
    assert await mind.store.about(ANNA) == []
    assert len(await mind.store.about(BERT)) == 30
    assert await mind.store.live_entries() == 60
    assert await all_of(mind.store, Query(words="canarycontent")) == []
    assert len(await all_of(mind.store, Query(words="bert"))) == 30
    assert await mind.store.forget(ANNA) == 0


async def test_nothing_of_a_forgotten_person_is_in_sqlites_files(mind: Mind, place: Place) -> None:
    """Content, history, tags, words, vector and name; the log is emptied too."""
    if place.url is not None:  # its files are its administrator's
        assert await mind.store.forget(ANNA) == 2
        return
    theirs = pack(vector("canarycontent", MODEL))
    before = bytes_of(place.data_dir)
    await mind.store.forget(ANNA)
    left = bytes_of(place.data_dir)

    for canary in (*CANARIES, ANNA):
        assert canary.encode() in before
        assert canary.encode() not in left
    assert theirs.vector in before
    assert theirs.vector not in left
    assert theirs.bits not in left
    assert b"about bert 7" in left


async def test_entries_are_found_by_their_subject(mind: Mind) -> None:
    """For whoever may see them: an access request over the API."""
    theirs = await all_of(mind.store, Query(subject=ANNA), ME)
    in_blue = await all_of(mind.store, Query(words="canarylong", subject=ANNA), TENANT)

    assert {entry.subject for entry in theirs} == {ANNA}
    assert len(theirs) == 2
    assert [entry.project for entry in in_blue] == ["blue"]


@pytest.mark.parametrize("subject", ["", "x" * 257, "null \0", "\ud800"])
def test_what_is_no_name_is_refused(subject: str) -> None:
    """By the field."""
    with pytest.raises(BadRequest) as refused:
        check_draft(Draft("x", subject=subject))

    assert refused.value.param == "subject"
