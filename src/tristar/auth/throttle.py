"""Failed logins, throttled by where they come from; whoever has a good key never meets this.

Each network has a bucket of N that refills evenly within a minute, and all together have a larger one. The
buckets are a fixed table, found by a keyed hash: a million addresses take no more memory than one. Two
networks may share a bucket; then the one waits for the other's failures, in its own failures alone.
"""

import hashlib
import secrets
from array import array
from typing import Final

from tristar.auth.address import network_of
from tristar.clock import Clock
from tristar.errors import LoginsThrottled

BUCKETS: Final = 1 << 16
EVERYBODY: Final = 100
"""All networks together may fail so many times as often as one."""


class Throttle:
    """One per process. `per_minute` of 0 throttles nobody."""

    def __init__(self, clock: Clock, per_minute: float) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._secret = secrets.token_bytes(16)
        # Of each bucket when it will be full again (monotonic); the last is everybody's.
        self._full_at = array("d", bytes(8 * (BUCKETS + 1)))

    def check(self, address: str | None) -> None:
        """Let a login from this address be looked at.

        Raises:
            LoginsThrottled: too many from there, or from everywhere, have failed of late.
        """
        if not self._per_minute:
            return
        wait_s = max(
            self._wait_s(self._bucket(address), self._per_minute),
            self._wait_s(BUCKETS, EVERYBODY * self._per_minute),
        )
        if wait_s > 0:
            raise LoginsThrottled(
                "Too many requests without a good key came from this address; send a good one, or wait.",
                retry_after_s=wait_s,
            )

    def failed(self, address: str | None) -> None:
        """A login from this address has failed."""
        if self._per_minute:
            self._take(self._bucket(address), self._per_minute)
            self._take(BUCKETS, EVERYBODY * self._per_minute)

    def _wait_s(self, bucket: int, per_minute: float) -> float:
        """Seconds until one more fits."""
        room_s = 60.0 - 60.0 / per_minute if per_minute > 1 else 0.0
        return self._full_at[bucket] - room_s - self._clock.monotonic()

    def _take(self, bucket: int, per_minute: float) -> None:
        self._full_at[bucket] = max(self._full_at[bucket], self._clock.monotonic()) + 60.0 / per_minute

    def _bucket(self, address: str | None) -> int:
        network = (network_of(address) or "").encode("utf-8", "replace")
        hashed = hashlib.blake2b(network, digest_size=8, key=self._secret).digest()
        return int.from_bytes(hashed, "little") % BUCKETS
