"""The gate: who is let in, and what happens while the store is away."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.storage.fixtures import MakeDatabase

from tristar.auth.actor import ANONYMOUS, BOOTSTRAP, Limits
from tristar.auth.gate import CATCH_UP_S, MARK_USED_S, POLL_S, STALE_S, Gate, KeyRefused
from tristar.auth.keys import Changes, Keys, NewKey, terms_of, with_limits
from tristar.clock import ManualClock, SystemClock
from tristar.errors import Unavailable
from tristar.storage.engine import DatabaseDown

CHAT = NewKey("ci", ("chat",), ("fast",), ("blue",), Limits(requests_per_minute=60))
ADMIN_KEY = "the operator's own"

MakeGate = Callable[..., Gate]


class FlakyKeys(Keys):
    """Keys whose database can be away."""

    down = False
    reads = 0

    async def changes(self, after: int | None) -> Changes:
        """As `Keys`, or down."""
        self.reads += 1
        if self.down:
            raise DatabaseDown("connection refused")
        return await super().changes(after)


@pytest.fixture
def keys(make_database: MakeDatabase, clock: ManualClock) -> FlakyKeys:
    """A key store that a test can take away."""
    return FlakyKeys(make_database(), clock)


@pytest.fixture
def make_gate(keys: Keys, clock: ManualClock) -> MakeGate:
    """A gate as another worker would have it: of the same keys, with its own memory."""

    def make(*, admin_key: str | None = None, loopback: bool = True, **options: object) -> Gate:
        return Gate(keys, clock, admin_key=admin_key, loopback=loopback, **options)  # type: ignore[arg-type]  # options are as each test says

    return make


def reason(gate: Gate, presented: str | None) -> str:
    """Why this key is refused."""
    with pytest.raises(KeyRefused) as refused:
        gate.authenticate(presented)
    assert "Authorization: Bearer" in refused.value.message
    return refused.value.reason


async def test_on_loopback_without_any_key_everybody_is_the_operator(make_gate: MakeGate) -> None:
    """With or without a key in the request: an SDK always sends one."""
    gate = make_gate()
    await gate.refresh()

    assert gate.is_open
    assert gate.authenticate(None) is gate.authenticate("sk-anything") is ANONYMOUS


@pytest.mark.parametrize("options", [{"loopback": False}, {"admin_key": ADMIN_KEY}])
async def test_elsewhere_or_with_an_admin_key_nobody_is(
    make_gate: MakeGate, options: dict[str, object]
) -> None:
    """No key, no entry."""
    gate = make_gate(**options)
    await gate.refresh()

    assert not gate.is_open
    assert [reason(gate, None), reason(gate, ""), reason(gate, "tsk_x")] == ["missing", "missing", "unknown"]


async def test_the_first_key_closes_every_gate_for_good(make_gate: MakeGate, keys: Keys) -> None:
    """Revoking the last one does not open them again."""
    gates = [make_gate(), make_gate()]
    for gate in gates:
        await gate.refresh()
    made = await keys.make(CHAT, "anonymous")
    for gate in gates:
        await gate.refresh()
    closed = [gate.is_open for gate in gates]
    await keys.revoke(made.stored.id)
    await gates[0].refresh()

    assert closed == [False, False]
    assert not gates[0].is_open
    assert reason(gates[0], None) == "missing"


async def test_a_key_is_an_actor_with_its_scopes_and_limits(make_gate: MakeGate, keys: Keys) -> None:
    """As it was made."""
    made = await keys.make(CHAT, "x")
    gate = make_gate()
    await gate.refresh()
    actor = gate.authenticate(made.secret)

    assert (actor.key_id, actor.name, actor.limits) == (made.stored.id, "ci", CHAT.limits)
    assert (actor.allows("chat"), actor.allows("admin")) == (True, False)
    assert (actor.may_use("fast"), actor.may_use("deep")) == (True, False)
    assert actor.projects == frozenset({"blue"})


@pytest.mark.parametrize("presented", [ADMIN_KEY + " ", ADMIN_KEY[:-1], "\ud800", "\0", "é" * 10_000])
async def test_what_is_no_key_is_unknown(make_gate: MakeGate, presented: str) -> None:
    """Whatever the bytes."""
    gate = make_gate(admin_key=ADMIN_KEY)
    await gate.refresh()

    assert reason(gate, presented) == "unknown"


async def test_the_bootstrap_key_works_whatever_the_store_does(make_gate: MakeGate, keys: FlakyKeys) -> None:
    """The operator is never locked out by an outage."""
    keys.down = True
    gate = make_gate(admin_key=ADMIN_KEY)
    before = gate.authenticate(ADMIN_KEY)
    await gate.refresh()

    assert before is gate.authenticate(ADMIN_KEY) is BOOTSTRAP


async def test_a_revoked_or_expired_key_is_refused_with_the_reason(
    make_gate: MakeGate, keys: Keys, clock: ManualClock
) -> None:
    """A gate that started later knows the reason too."""
    revoked = await keys.make(CHAT, "x")
    expiring = await keys.make(NewKey("short", ("chat",), expires_at=clock.time() + 60), "x")
    old = make_gate()
    await old.refresh()
    before = [old.authenticate(key.secret).key_id for key in (revoked, expiring)]
    await keys.revoke(revoked.stored.id)
    clock.advance(60)
    new = make_gate()
    for gate in (old, new):
        await gate.refresh()

    assert before == [revoked.stored.id, expiring.stored.id]
    for gate in (old, new):
        assert [reason(gate, revoked.secret), reason(gate, expiring.secret)] == ["revoked", "expired"]


async def test_known_keys_outlive_an_outage_by_the_grace_time(
    make_gate: MakeGate, keys: FlakyKeys, clock: ManualClock
) -> None:
    """Up to `key_grace_s`; then nobody can tell any more, which is not the client's fault."""
    made = await keys.make(CHAT, "x")
    gate = make_gate(key_grace_s=300)
    await gate.refresh()
    keys.down = True
    clock.advance(300)
    await gate.refresh()
    within = gate.authenticate(made.secret).key_id
    clock.advance(0.001)
    with pytest.raises(Unavailable) as refused:
        gate.authenticate(made.secret)
    keys.down = False
    await gate.refresh()

    assert within == made.stored.id
    assert refused.value.status == 503
    assert refused.value.retry_after_s is not None
    assert gate.authenticate(made.secret).key_id == made.stored.id


async def test_an_open_gate_does_not_stay_open_without_news(make_gate: MakeGate, clock: ManualClock) -> None:
    """Somebody may have made the first key meanwhile."""
    gate = make_gate(key_grace_s=300)
    await gate.refresh()
    clock.advance(301)
    with pytest.raises(Unavailable):
        gate.authenticate(None)
    await gate.refresh()

    assert gate.authenticate(None) is ANONYMOUS


async def test_while_the_store_is_away_an_unknown_key_is_not_called_wrong(
    make_gate: MakeGate, keys: FlakyKeys
) -> None:
    """It may have been made elsewhere a moment ago: 503, never 401."""
    gate = make_gate(loopback=False)
    await gate.refresh()
    keys.down = True
    await gate.refresh()
    with pytest.raises(Unavailable):
        gate.authenticate("tsk_x")
    with pytest.raises(Unavailable):
        await gate.admit("tsk_x")

    assert reason(gate, None) == "missing"


async def test_a_gate_without_news_does_not_trust_what_it_does_not_know(
    make_gate: MakeGate, clock: ManualClock
) -> None:
    """Should its polling stop, unknown keys get 503 as in an outage."""
    gate = make_gate(loopback=False)
    await gate.refresh()
    clock.advance(STALE_S + 1)

    with pytest.raises(Unavailable):
        gate.authenticate("tsk_x")


async def test_a_gate_that_never_reached_the_store_is_closed(make_gate: MakeGate, keys: FlakyKeys) -> None:
    """Not knowing whether there are keys is no reason to let everybody in."""
    keys.down = True
    gate = make_gate()
    for presented in (None, "tsk_x"):
        with pytest.raises(Unavailable):
            gate.authenticate(presented)
    await gate.refresh()

    assert not gate.is_open
    with pytest.raises(Unavailable):
        gate.authenticate(None)


async def test_an_outage_and_its_end_are_seen(make_gate: MakeGate, keys: FlakyKeys) -> None:
    """However many polls fail."""
    gate = make_gate()
    problems = []
    for down in (False, True, True, True, False, False):
        keys.down = down
        await gate.refresh()
        problems.append(gate.problem)

    assert problems == [None, *["connection refused"] * 3, None, None]


async def test_a_gate_that_is_to_refuse_knows_no_grace(make_gate: MakeGate, keys: FlakyKeys) -> None:
    """503 for a known key from the first failed look at the store on; the operator's own still works."""
    made = await keys.make(CHAT, "anonymous")
    gate = make_gate(refuse=True, admin_key=ADMIN_KEY)
    await gate.refresh()
    before = gate.authenticate(made.secret)
    keys.down = True
    await gate.refresh()
    with pytest.raises(Unavailable):
        gate.authenticate(made.secret)
    operator = gate.authenticate(ADMIN_KEY)
    keys.down = False
    await gate.refresh()

    assert operator is BOOTSTRAP
    assert gate.authenticate(made.secret) == before


async def test_a_store_that_hangs_counts_as_away(
    make_gate: MakeGate, keys: FlakyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No poll waits for ever."""
    gate = make_gate()
    await gate.refresh()
    monkeypatch.setattr("tristar.auth.gate.STORE_TIMEOUT_S", 0.05)

    async def hang(_after: int | None) -> Changes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(keys, "changes", hang)
    await gate.refresh()

    assert gate.problem == "no answer within 0.05 s"


async def test_a_key_works_everywhere_as_soon_as_it_is_made(make_gate: MakeGate, keys: Keys) -> None:
    """`admit` looks at the store before it refuses: nobody has to wait for a poll."""
    gate = make_gate(loopback=False)
    await gate.refresh()
    made = await keys.make(CHAT, "x")

    assert (await gate.admit(made.secret)).key_id == made.stored.id


async def test_guessing_keys_costs_the_store_one_look_for_all(make_gate: MakeGate, keys: FlakyKeys) -> None:
    """A hundred wrong keys at once are one reading, a little later."""
    gate = make_gate(loopback=False)
    await gate.refresh()
    keys.reads = 0
    began = time.monotonic()
    ended = await asyncio.gather(*(gate.admit(f"tsk_{n}") for n in range(100)), return_exceptions=True)

    assert keys.reads == 1
    assert time.monotonic() - began >= CATCH_UP_S * 0.9
    assert {type(end) for end in ended} == {KeyRefused}


async def test_uses_are_noted_now_and_then_and_at_the_end(
    make_gate: MakeGate, keys: Keys, clock: ManualClock
) -> None:
    """Not with every request."""
    made = await keys.make(CHAT, "x")
    gate = make_gate()
    await gate.refresh()
    gate.authenticate(made.secret)
    used_at = clock.time()
    await gate.refresh()
    at_once = (await keys.page(1)).keys[0].last_used_at
    clock.advance(MARK_USED_S)
    await gate.refresh()
    later = (await keys.page(1)).keys[0].last_used_at
    gate.authenticate(made.secret)
    await gate.close()

    assert (at_once, later) == (None, used_at)
    assert (await keys.page(1)).keys[0].last_used_at == clock.time()


async def test_a_restored_database_is_read_anew(make_gate: MakeGate, make_database: MakeDatabase) -> None:
    """A revision that went back means other keys: none of the old ones stays."""
    clock = SystemClock()
    store = Keys(make_database(), clock)
    kept = await store.make(CHAT, "x")
    lost = await store.make(CHAT, "x")
    changes = await store.changes(None)
    gate = Gate(store, clock, admin_key=None, loopback=True)
    await gate.refresh()

    class Restored(Keys):
        async def changes(self, after: int | None) -> Changes:
            return Changes(1, [key for key in changes.keys if key.id == kept.stored.id])

    gate._keys = Restored(make_database(), clock)
    await gate.refresh()

    assert gate.authenticate(kept.secret).key_id == kept.stored.id
    assert reason(gate, lost.secret) == "unknown"


async def test_revocation_reaches_a_polling_gate_within_two_seconds(make_database: MakeDatabase) -> None:
    """The promise, measured on two gates with databases and clocks of their own."""
    clock = SystemClock()
    here, there = Keys(make_database(), clock), Keys(make_database(), clock)
    made = await here.make(CHAT, "x")
    gate = Gate(there, clock, admin_key=None, loopback=False)
    await gate.refresh()
    polling = asyncio.create_task(gate.refresh_forever())
    await asyncio.sleep(0.1)
    gate.authenticate(made.secret)
    await here.revoke(made.stored.id)
    revoked_at = time.monotonic()
    async with asyncio.timeout(10):
        while gate._known[made.stored.key_hash].revoked is False:  # noqa: ASYNC110 - as requests would find out
            await asyncio.sleep(0.02)
    took_s = time.monotonic() - revoked_at
    polling.cancel()

    assert took_s < 2
    assert POLL_S <= 1
    assert reason(gate, made.secret) == "revoked"


async def test_a_decision_takes_microseconds_with_many_keys(make_gate: MakeGate, keys: Keys) -> None:
    """A coarse guard: the true figure is in the benchmarks."""
    made = [await keys.make(CHAT, "x") for _ in range(20)]
    gate = make_gate()
    await gate.refresh()
    rounds = 2000
    best_s = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(rounds):
            gate.authenticate(made[7].secret)
        best_s = min(best_s, (time.perf_counter() - began) / rounds)

    assert best_s < 100e-6  # from memory; a look at the store takes several times as long


async def test_a_rotated_key_works_beside_the_one_before_for_the_overlap(
    make_gate: MakeGate, keys: Keys, clock: ManualClock
) -> None:
    """Both are the same actor; then the old one has expired, and the new one stays."""
    made = await keys.make(CHAT, "x")
    gate, late = make_gate(), make_gate()
    await gate.refresh()
    rotated = await keys.rotate(made.stored.id, 3)
    await gate.refresh()
    await late.refresh()
    during = [each.authenticate(key).key_id for each in (gate, late) for key in (made.secret, rotated.secret)]
    clock.advance(4)

    assert during == [made.stored.id] * 4
    assert [reason(each, made.secret) for each in (gate, late)] == ["expired"] * 2
    assert gate.authenticate(rotated.secret).key_id == made.stored.id


async def test_without_overlap_the_former_key_ends_at_once(make_gate: MakeGate, keys: Keys) -> None:
    """A key that leaked is not left working; nor does one that overlapped before live on."""
    made = await keys.make(CHAT, "x")
    gate = make_gate()
    second = await keys.rotate(made.stored.id, 600)
    await gate.refresh()
    third = await keys.rotate(made.stored.id, 0)
    await gate.refresh()

    assert [reason(gate, key) for key in (made.secret, second.secret)] == ["unknown"] * 2
    assert gate.authenticate(third.secret).key_id == made.stored.id


async def test_revoking_ends_both_keys_of_an_overlap(make_gate: MakeGate, keys: Keys) -> None:
    """At once, both."""
    made = await keys.make(CHAT, "x")
    rotated = await keys.rotate(made.stored.id, 600)
    gate = make_gate()
    await gate.refresh()
    await keys.revoke(made.stored.id)
    await gate.refresh()

    assert [reason(gate, key) for key in (made.secret, rotated.secret)] == ["revoked"] * 2


async def test_a_change_is_in_force_at_the_next_look(make_gate: MakeGate, keys: Keys) -> None:
    """Scopes, llms and limits at once, for a key that is in use."""
    made = await keys.make(CHAT, "x")
    gate = make_gate()
    await gate.refresh()
    before = gate.authenticate(made.secret)
    limits = Limits(requests_per_minute=7)
    await keys.change(made.stored.id, lambda key: with_limits(replace(terms_of(key), llms=None), limits))
    await gate.refresh()
    after = gate.authenticate(made.secret)

    assert (before.may_use("deep"), after.may_use("deep")) == (False, True)
    assert after.limits == limits


async def test_the_lag_of_a_revocation_is_told_once(
    make_gate: MakeGate, keys: Keys, clock: ManualClock
) -> None:
    """By a gate that let the key in until then; not by one that starts later."""
    made = await keys.make(CHAT, "x")
    lags: list[float] = []
    gate, late = make_gate(revoked=lags.append), make_gate(revoked=lags.append)
    await gate.refresh()
    await keys.revoke(made.stored.id)
    clock.advance(0.75)
    for _ in range(2):
        await gate.refresh()
        await keys.revoke(made.stored.id)
    await late.refresh()

    assert lags == [pytest.approx(0.75, abs=1e-5)]
