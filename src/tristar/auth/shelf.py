"""What a host knows of its keys, kept by its supervisor: a worker that is replaced begins with it.

Without it a worker born while the database is away would know nobody, and every key would be told 503
that the worker before it had let in.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from tristar.auth.keys import Keys, StoredKey
from tristar.clock import Clock
from tristar.storage.engine import DatabaseDown

POLL_S = 1.0
STORE_TIMEOUT_S = 3.0

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredKey)


class Handed(msgspec.Struct, frozen=True):
    """The keys as they were at a revision: their hashes and terms, encoded; no key itself.

    `fresh_at` is when they were last known to be so, by this host's monotonic clock.
    """

    revision: int
    fresh_at: float
    encoded: Sequence[bytes] = msgspec.field(default=())

    def stored(self) -> list[StoredKey]:
        """The keys."""
        return [_decoder.decode(one) for one in self.encoded]

    def __repr__(self) -> str:
        return f"Handed({len(self.encoded)} keys at revision {self.revision})"


class Shelf:
    """Follows the stored keys as a gate does, and keeps them small. Event-loop thread only."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._revision: int | None = None
        self._fresh_at = float("-inf")
        self._known: dict[str, bytes] = {}

    def handed(self) -> Handed | None:
        """What is known now; None before the store has ever answered."""
        if self._revision is None:
            return None
        return Handed(self._revision, self._fresh_at, list(self._known.values()))

    async def look(self) -> None:
        """Take over what changed in the store; one that is away leaves all as it was."""
        try:
            async with asyncio.timeout(None if self._revision is None else STORE_TIMEOUT_S):
                changes = await self._keys.changes(self._revision)
        except (DatabaseDown, TimeoutError):
            return
        if self._revision is not None and changes.revision < self._revision:
            self._known.clear()  # another database, a restored one say
        for key in changes.keys:
            self._known[key.id] = _encoder.encode(key)
        self._revision = changes.revision
        self._fresh_at = self._clock.monotonic()

    async def follow(self) -> None:
        """`look` every `POLL_S`, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)
