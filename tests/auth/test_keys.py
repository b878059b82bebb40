"""The stored keys."""

import asyncio
import hashlib
import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from tristar.auth.actor import Limits
from tristar.auth.keys import Keys, NewKey, StoredKey, _read_cursor, digest, terms_of
from tristar.clock import ManualClock
from tristar.errors import BadRequest, Conflict, Forbidden, NotFound
from tristar.storage.engine import Database
from tristar.storage.schema import keys as key_table

NEW = NewKey("ci", ("chat", "admin"), ("fast", "openai/*"), ("blue",), Limits(1, 2, 3, 4, 5, True))  # noqa: FBT003 - all limits, in order


async def test_a_key_is_256_random_bits_and_comes_back_without_them(keys: Keys, clock: ManualClock) -> None:
    """What was asked for is stored; the secret is in the answer alone."""
    made = await keys.make(NEW, "bootstrap")
    (stored,) = (await keys.page(10)).keys

    assert re.fullmatch(r"tsk_[A-Za-z0-9_-]{43}", made.secret)
    assert stored == made.stored
    assert (stored.name, stored.scopes, stored.llms, stored.projects) == (
        NEW.name,
        NEW.scopes,
        NEW.llms,
        NEW.projects,
    )
    assert stored.limits == NEW.limits
    assert (stored.created_at, stored.created_by) == (clock.time(), "bootstrap")
    assert (stored.expires_at, stored.revoked_at, stored.last_used_at) == (None, None, None)
    assert stored.key_hash == hashlib.sha256(made.secret.encode()).digest()


async def test_no_two_keys_are_alike(keys: Keys) -> None:
    """Neither ids nor secrets."""
    made = [await keys.make(NEW, "x") for _ in range(20)]

    assert len({key.secret for key in made}) == len({key.stored.id for key in made}) == 20


async def test_the_secret_is_in_no_repr_and_not_in_the_database(keys: Keys, database: Database) -> None:
    """Its last four characters apart, which are for people to recognise it by."""
    made = await keys.make(NEW, "x")
    row = await database.read(lambda connection: connection.execute(text("SELECT * FROM keys")).one())

    assert made.secret[4:] not in f"{made!r} {row!r} {asdict(made.stored)!r}"
    assert made.stored.hint == made.secret[-4:]


async def test_a_key_that_would_have_expired_is_not_made(keys: Keys, clock: ManualClock) -> None:
    """The mistake is told at once, not at the first use."""
    with pytest.raises(BadRequest) as refused:
        await keys.make(NewKey("late", ("chat",), expires_at=clock.time()), "x")

    assert refused.value.param == "expires_at"
    assert (await keys.page(10)).keys == []


async def test_revoking_keeps_the_key_on_the_list_and_its_first_time(keys: Keys, clock: ManualClock) -> None:
    """Doing it again changes nothing."""
    made = await keys.make(NEW, "x")
    clock.advance(5)
    first = await keys.revoke(made.stored.id)
    clock.advance(5)
    second = await keys.revoke(made.stored.id)

    assert first.revoked_at == second.revoked_at == clock.time() - 5
    assert [key.id for key in (await keys.page(10)).keys] == [made.stored.id]


@pytest.mark.parametrize("key_id", ["key_0000000000000000", "", "\0", "\ud800", "' OR 1=1 --"])
async def test_an_id_that_is_none_is_not_found(keys: Keys, key_id: str) -> None:
    """And revokes nothing."""
    await keys.make(NEW, "x")
    with pytest.raises(NotFound):
        await keys.revoke(key_id)

    assert (await keys.page(10)).keys[0].revoked_at is None


async def test_pages_are_newest_first_and_complete(keys: Keys, clock: ManualClock) -> None:
    """Even where several keys were made in one microsecond."""
    made = []
    for number in range(7):
        clock.advance(number % 2)
        made.append((await keys.make(NEW, "x")).stored)
    found: list[StoredKey] = []
    cursor: str | None = None
    while True:
        page = await keys.page(3, cursor)
        found += page.keys
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(key.id for key in found) == sorted(key.id for key in made)
    assert [key.created_at for key in found] == sorted((key.created_at for key in made), reverse=True)


@pytest.mark.parametrize(
    "cursor", ["", ".", "1.\0", "x.key_0", "1" * 40 + ".key_0000000000000000", "\ud800.1"]
)
async def test_a_cursor_that_was_not_given_out_is_refused(keys: Keys, cursor: str) -> None:
    """With its field."""
    with pytest.raises(BadRequest) as refused:
        await keys.page(3, cursor)

    assert refused.value.param == "cursor"


async def test_changes_tell_what_happened_since_a_revision(keys: Keys) -> None:
    """So that following costs the same with one key and with a hundred thousand."""
    nothing = await keys.changes(None)
    first = (await keys.make(NEW, "x")).stored
    since_first = await keys.changes(nothing.revision)
    second = (await keys.make(NEW, "x")).stored
    revoked = await keys.revoke(first.id)
    since_then = await keys.changes(since_first.revision)

    assert (nothing.revision, nothing.keys) == (0, [])
    assert since_first.keys == [first]
    assert sorted(since_then.keys, key=lambda key: key.revision) == [second, revoked]
    assert (await keys.changes(since_then.revision)).keys == ()


async def test_simultaneous_makers_leave_no_change_unseen(database: Database, clock: ManualClock) -> None:
    """Whoever follows the revisions while keys are made sees every one."""
    keys = Keys(database, clock)
    seen: set[str] = set()
    revision: int | None = None
    making = asyncio.gather(*(keys.make(NEW, "x") for _ in range(25)))
    while not making.done() or revision != 25:
        changes = await keys.changes(revision)
        revision = changes.revision
        seen |= {key.id for key in changes.keys}

    assert seen == {made.stored.id for made in await making}


async def test_uses_are_noted_and_never_move_back(keys: Keys, clock: ManualClock) -> None:
    """Several gates note in any order; an unknown id is no error."""
    made = (await keys.make(NEW, "x")).stored
    now = clock.time()
    await keys.mark_used({made.id: now + 10, "key_gone": now})
    await keys.mark_used({made.id: now + 5})
    await keys.mark_used({})

    assert (await keys.page(1)).keys[0].last_used_at == now + 10


async def test_a_change_is_told_and_what_is_not_named_stays(keys: Keys) -> None:
    """As it was, as it is, and under a new revision for the gates."""
    made = await keys.make(NewKey("ci", ("chat",), projects=("blue",)), "x")
    changed = await keys.change(made.stored.id, lambda key: replace(terms_of(key), name="cd"))

    assert changed.before == made.stored
    assert changed.after == replace(made.stored, name="cd", revision=changed.after.revision)
    assert changed.after.revision > made.stored.revision
    assert await keys.one(made.stored.id) == changed.after


async def test_what_an_edit_raises_leaves_all_as_it_was(keys: Keys) -> None:
    """The revision too: no gate looks for nothing."""
    made = await keys.make(NewKey("ci", ("chat",)), "x")

    def refuse(_: StoredKey) -> NewKey:
        raise Forbidden("no")

    with pytest.raises(Forbidden):
        await keys.change(made.stored.id, refuse)

    assert (await keys.changes(None)).revision == made.stored.revision


async def test_a_revoked_key_is_neither_changed_nor_rotated(keys: Keys) -> None:
    """Revoking is for good."""
    made = await keys.make(NewKey("ci", ("chat",)), "x")
    await keys.revoke(made.stored.id)

    with pytest.raises(Conflict):
        await keys.change(made.stored.id, terms_of)
    with pytest.raises(Conflict):
        await keys.rotate(made.stored.id, 60)


async def test_a_change_into_the_past_is_refused_and_an_expired_key_may_be_prolonged(
    keys: Keys, clock: ManualClock
) -> None:
    """Expiry is a date, not a revocation; other terms of an expired key may be changed as well."""
    made = await keys.make(NewKey("ci", ("chat",), expires_at=clock.time() + 5), "x")
    clock.advance(10)
    renamed = await keys.change(made.stored.id, lambda key: replace(terms_of(key), name="cd"))
    longer = clock.time() + 60
    prolonged = await keys.change(made.stored.id, lambda key: replace(terms_of(key), expires_at=longer))

    assert (renamed.after.name, prolonged.after.expires_at) == ("cd", longer)
    with pytest.raises(BadRequest):
        await keys.change(made.stored.id, lambda key: replace(terms_of(key), expires_at=clock.time() - 1))


async def test_a_rotation_is_a_new_secret_under_the_same_id(keys: Keys, database: Database) -> None:
    """Which, like the first, is in no repr and not in the database; terms and times stay."""
    made = await keys.make(NewKey("ci", ("chat",)), "x")
    rotated = await keys.rotate(made.stored.id, 60)
    rows = await database.read(lambda connection: connection.execute(select(key_table)).all())

    assert rotated.secret != made.secret
    assert (rotated.stored.id, rotated.stored.created_at) == (made.stored.id, made.stored.created_at)
    assert (rotated.stored.key_hash, rotated.stored.former_hash) == (
        digest(rotated.secret),
        digest(made.secret),
    )
    assert rotated.secret not in repr(rotated) + repr(rows)


async def test_a_rotation_can_be_put_back(keys: Keys) -> None:
    """Both secrets are as before it."""
    made = await keys.make(NewKey("ci", ("chat",)), "x")
    first = await keys.rotate(made.stored.id, 60)
    second = await keys.rotate(made.stored.id, 60)
    assert second.before is not None
    await keys.put_back(second.before)
    now = await keys.one(made.stored.id)

    assert (now.key_hash, now.former_hash) == (digest(first.secret), digest(made.secret))
    assert now.former_until == first.stored.former_until


@given(st.one_of(st.text(max_size=60), st.from_regex(r"[0-9]{1,20}\.key_[0-9a-f]{16}", fullmatch=True)))
def test_any_cursor_is_read_or_refused(cursor: str) -> None:
    """Never anything else; what is read is a time and an id."""
    try:
        found = _read_cursor(cursor)
    except BadRequest:
        found = None

    assert found is None or (0 <= found[0] < 10**18 and cursor.endswith(f".{found[1]}"))
