"""What a supervisor keeps of the keys, and a gate that begins with it."""

import pickle

import pytest
from tests.auth.test_gate import FlakyKeys
from tests.storage.fixtures import MakeDatabase

from tristar.auth.actor import Limits
from tristar.auth.gate import Gate, KeyRefused
from tristar.auth.keys import NewKey
from tristar.auth.shelf import Handed, Shelf
from tristar.clock import ManualClock
from tristar.errors import Unavailable

TERMS = NewKey(
    "ci",
    ("chat",),
    ("fast",),
    ("blue",),
    Limits(requests_per_minute=60),
    llm_limits={"fast": Limits(max_concurrent=2)},
)


@pytest.fixture
def keys(make_database: MakeDatabase, clock: ManualClock) -> FlakyKeys:
    """A key store that a test can take away."""
    return FlakyKeys(make_database(), clock)


def newborn(keys: FlakyKeys, clock: ManualClock, handed: Handed | None) -> Gate:
    """The gate of a worker that is born now, with what crossed the pipe."""
    gate = Gate(keys, clock, admin_key="the operator's own", loopback=True)
    crossed = pickle.loads(pickle.dumps(handed))
    if crossed is not None:
        gate.inherit(crossed)
    return gate


async def test_a_gate_born_while_the_store_is_away_knows_what_was_known(
    keys: FlakyKeys, clock: ManualClock
) -> None:
    """A key with all its terms; a revoked one as revoked; a stranger is not called wrong."""
    good, revoked = await keys.make(TERMS, "t"), await keys.make(TERMS, "t")
    await keys.revoke(revoked.stored.id)
    shelf = Shelf(keys, clock)
    await shelf.look()
    keys.down = True
    await shelf.look()
    gate = newborn(keys, clock, shelf.handed())
    await gate.refresh()
    actor = gate.authenticate(good.secret)

    assert (actor.llms, actor.projects) == (frozenset({"fast"}), frozenset({"blue"}))
    assert (actor.limits, actor.llm_limits) == (TERMS.limits, TERMS.llm_limits)
    with pytest.raises(KeyRefused):
        gate.authenticate(revoked.secret)
    with pytest.raises(Unavailable):
        gate.authenticate("tsk_stranger")


async def test_what_is_handed_on_is_as_old_as_it_is(keys: FlakyKeys, clock: ManualClock) -> None:
    """A replacement does not lengthen the grace of its host."""
    good = await keys.make(TERMS, "t")
    shelf = Shelf(keys, clock)
    await shelf.look()
    keys.down = True
    clock.advance(290)
    gate = newborn(keys, clock, shelf.handed())
    await gate.refresh()
    assert gate.authenticate(good.secret).name == "ci"
    clock.advance(11)

    with pytest.raises(Unavailable):
        gate.authenticate(good.secret)


async def test_the_shelf_follows_changes(keys: FlakyKeys, clock: ManualClock) -> None:
    """Before the store has answered once it has nothing to hand on."""
    shelf = Shelf(keys, clock)
    assert shelf.handed() is None
    await shelf.look()
    made = [await keys.make(TERMS, "t") for _ in range(2)]
    await shelf.look()
    first = shelf.handed()
    await keys.revoke(made[0].stored.id)
    await shelf.look()
    second = shelf.handed()

    assert first is not None
    assert second is not None
    assert [key.revoked_at for key in first.stored()] == [None, None]
    assert sorted(key.revoked_at is None for key in second.stored()) == [False, True]
    assert second.revision > first.revision


async def test_no_hash_is_in_its_repr(keys: FlakyKeys, clock: ManualClock) -> None:
    """It may be in a traceback."""
    made = await keys.make(TERMS, "t")
    shelf = Shelf(keys, clock)
    await shelf.look()

    assert repr(shelf.handed()) == "Handed(1 keys at revision 1)"
    assert made.secret not in repr(shelf.handed())
