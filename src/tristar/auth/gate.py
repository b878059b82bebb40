"""The gate that every request passes: who is this, decided in memory, in microseconds.

The gate follows the stored keys by polling their revision. While the store is down, the keys
that it knows stay good for a grace time, and a key that it does not know is not called wrong.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Literal

from tristar.auth.actor import ANONYMOUS, BOOTSTRAP, NO_LIMITS, Actor
from tristar.auth.keys import Keys, StoredKey, digest
from tristar.auth.scopes import expand
from tristar.auth.shelf import Handed
from tristar.clock import Clock
from tristar.errors import Unauthenticated, Unavailable
from tristar.storage.engine import DatabaseDown

POLL_S = 1.0
STORE_TIMEOUT_S = 3.0
STALE_S = 5.0
"""Without news from the store for this long, the gate no longer calls an unknown key wrong."""

CATCH_UP_S = 0.2
"""The least time between two looks at the store on behalf of unknown keys."""

MARK_USED_S = 30.0
_LONGEST_KEY = 4096

Reason = Literal["missing", "unknown", "revoked", "expired"]
"""Why a key is refused."""

_NEXT_STEP = "send Authorization: Bearer <key>; POST /admin/keys or `tristar keys create` makes one"
_MESSAGES: dict[Reason, str] = {
    "missing": f"This gateway needs an API key: {_NEXT_STEP}.",
    "unknown": f"The API key is not known here: {_NEXT_STEP}.",
    "revoked": f"The API key was revoked: {_NEXT_STEP}.",
    "expired": f"The API key has expired: {_NEXT_STEP}.",
}


class KeyRefused(Unauthenticated):
    """No key, or not a good one; `reason` is the closed label of the metric and the audit record."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_MESSAGES[reason])
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class _Known:
    actor: Actor
    key_hash: bytes
    revoked: bool
    expires_at: float | None


class Gate:
    """Tells who is calling. One per process, used from its event loop alone.

    `loopback` says that the gateway is bound to this machine alone: then, with no `admin_key` and
    as long as no key was ever made, the gate is open. `refuse` lets nobody in but `admin_key` while
    the store is away. `revoked` hears, for each key that is revoked while this gate lets it in, how many
    seconds it did so: by this host's clock and that of whoever revoked it.
    """

    def __init__(
        self,
        keys: Keys,
        clock: Clock,
        *,
        admin_key: str | None,
        loopback: bool,
        key_grace_s: float = 300.0,
        refuse: bool = False,
        revoked: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._admin_hash = digest(admin_key) if admin_key else None
        self._may_open = loopback and not admin_key
        self._key_grace_s = key_grace_s
        self._refuse = refuse
        self._told_revoked = revoked
        self._known: dict[bytes, _Known] = {}
        self._hashes: dict[str, tuple[bytes, ...]] = {}
        """Of each key id the hashes in `_known`: two while a rotated key overlaps."""
        self._revision: int | None = None
        self.is_open = False
        """Whether anybody may do anything: on loopback, while no key has ever been made."""
        self._problem: str | None = None
        self._fresh_at = float("-inf")
        self._looked_at = float("-inf")
        self._marked_at = clock.monotonic()
        self._used_at: dict[str, float] = {}
        self._looking = asyncio.Lock()
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """Why the key store cannot be reached at present; None while it can."""
        return self._problem

    def authenticate(self, presented: str | None) -> Actor:
        """The actor that this key (without `Bearer`) belongs to.

        Decided from memory: a key made elsewhere less than `POLL_S` ago may be unknown (see `admit`).

        Raises:
            KeyRefused: there is no key, or it is unknown, revoked or expired.
            Unavailable: the store is out of reach, so that nobody can tell.
        """
        if self.is_open:
            self._check_fresh()
            return ANONYMOUS
        if not presented:
            if self._may_open and self._revision is None:
                raise self._unavailable()
            raise KeyRefused("missing")
        hashed = digest(presented) if len(presented) <= _LONGEST_KEY else b""
        known = self._known.get(hashed)
        if known is None or not compare_digest(known.key_hash, hashed):
            return self._outsider(hashed)
        if known.revoked:
            raise KeyRefused("revoked")
        if known.expires_at is not None and self._clock.time() >= known.expires_at:
            raise KeyRefused("expired")
        actor = known.actor
        self._used_at[actor.key_id] = self._clock.time()
        if self._clock.monotonic() - self._fresh_at > self._key_grace_s or (
            self._refuse and self._problem is not None
        ):
            raise self._unavailable()
        return actor

    async def admit(self, presented: str | None) -> Actor:
        """As `authenticate`, but looks at the store before it calls a key unknown.

        So a key works everywhere as soon as it is made, and guessing keys is slow.
        """
        try:
            return self.authenticate(presented)
        except KeyRefused as refused:
            if refused.reason != "unknown":
                raise
        await self._catch_up()
        return self.authenticate(presented)

    def inherit(self, handed: Handed) -> None:
        """Begin with what this host knows, as old as that is: the store may be away."""
        self._adopt(handed.revision, handed.stored())
        self._fresh_at = handed.fresh_at

    async def refresh(self) -> None:
        """Take over what changed in the store, and tell it which keys were used.

        Never raises for a store that is down: `problem` says so, and the next call tries again.
        """
        async with self._looking:
            self._looked_at = self._clock.monotonic()
            try:
                # The first reading may bring a hundred thousand keys; those after it bring changes.
                async with asyncio.timeout(None if self._revision is None else STORE_TIMEOUT_S):
                    changes = await self._keys.changes(self._revision)
                    self._adopt(changes.revision, changes.keys)
                    await self._mark_used(MARK_USED_S)
            except DatabaseDown as error:
                self._problem = error.reason
                return
            except TimeoutError:
                self._problem = f"no answer within {STORE_TIMEOUT_S:g} s"
                return
            self._problem = None

    async def refresh_forever(self) -> None:
        """`refresh` every `POLL_S`, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Note the last uses; call when no more requests come.

        Raises:
            DatabaseDown: the store is down, and the last uses are not noted.
        """
        await self._mark_used(0)

    def _check_fresh(self) -> None:
        """Refuse to tell who is who by what was known too long ago."""
        if self._clock.monotonic() - self._fresh_at > self._key_grace_s or (
            self._refuse and self._problem is not None
        ):
            raise self._unavailable()

    def _outsider(self, hashed: bytes) -> Actor:
        if self._admin_hash is not None and compare_digest(self._admin_hash, hashed):
            return BOOTSTRAP
        if self._problem is not None or self._clock.monotonic() - self._fresh_at > STALE_S:
            raise self._unavailable()
        raise KeyRefused("unknown")

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "The key store cannot be reached, so no key can be checked; retry shortly.", retry_after_s=POLL_S
        )

    async def _catch_up(self) -> None:
        if self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._look_soon())
        await asyncio.shield(self._catching_up)

    async def _look_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._looked_at + CATCH_UP_S - self._clock.monotonic()))
        # From here on the look may miss what is made now: later callers need another one.
        self._catching_up = None
        await self.refresh()

    def _adopt(self, revision: int, changed: Sequence[StoredKey]) -> None:
        if self._revision is not None and revision < self._revision:
            self._known.clear()
            self._hashes.clear()
        for key in changed:
            self._take_over(key)
        self._revision = revision
        self.is_open = self._may_open and revision == 0
        self._fresh_at = self._clock.monotonic()

    def _take_over(self, key: StoredKey) -> None:
        former = [self._known.pop(hashed, None) for hashed in self._hashes.get(key.id, ())]
        was_good = any(known is not None and not known.revoked for known in former)
        if was_good and key.revoked_at is not None:
            self._told_revoked(max(0.0, self._clock.time() - key.revoked_at))
        known = {each.key_hash: each for each in _known(key)}
        self._known.update(known)
        self._hashes[key.id] = tuple(known)

    async def _mark_used(self, every_s: float) -> None:
        now = self._clock.monotonic()
        if not self._used_at or now - self._marked_at < every_s:
            return
        used_at, self._used_at = self._used_at, {}
        try:
            await self._keys.mark_used(used_at)
        except (DatabaseDown, asyncio.CancelledError):
            self._used_at = used_at | self._used_at
            raise
        self._marked_at = now


def _known(key: StoredKey) -> Sequence[_Known]:
    """What is let in under a key: itself, and for a while the one that it replaced."""
    actor = Actor(
        key.id,
        key.name,
        expand(key.scopes),
        None if key.llms is None else frozenset(key.llms),
        None if key.projects is None else frozenset(key.projects),
        NO_LIMITS if key.limits == NO_LIMITS else key.limits,
        key.prompt_policy,
        key.llm_limits,
    )
    revoked = key.revoked_at is not None
    known = [_Known(actor, key.key_hash, revoked, key.expires_at)]
    if key.former_hash is not None and key.former_until is not None:
        ends = key.former_until if key.expires_at is None else min(key.former_until, key.expires_at)
        known.append(_Known(actor, key.former_hash, revoked, ends))
    return known
