"""Which of a provider's keys goes with the next request."""

from tristar.clock import Clock
from tristar.errors import UpstreamFailed
from tristar.routing.catalog import ApiKey, Provider
from tristar.routing.credentials import REST_S, Credentials, is_aside

_REASONS = {"auth": "the provider refused it", "quota": "its quota is spent"}
"""By error type: what sets a key aside. No word of the provider's, which may quote the key."""


class Rotation:
    """Takes the keys of each provider in turn and leaves out those that are set aside."""

    def __init__(self, credentials: Credentials, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock
        self._turns: dict[str, int] = {}

    def next(self, provider: Provider) -> ApiKey | None:
        """The key for one request; None where the provider wants none.

        Where every key is set aside it is the one whose time is over first: there is nothing to lose.
        """
        keys = provider.keys
        if len(keys) < 2:
            return keys[0] if keys else None
        turn = self._turns[provider.name] = self._turns.get(provider.name, -1) + 1
        at = turn % len(keys)
        setbacks = self._credentials.setbacks(provider.name)
        if not setbacks:
            return keys[at]
        now = self._clock.monotonic()
        in_turn = keys[at:] + keys[:at]
        for key in in_turn:
            if not is_aside(setbacks.get(key.fingerprint), now):
                return key
        return min(in_turn, key=lambda key: setbacks[key.fingerprint].until)

    def failed(self, provider: Provider, key: ApiKey | None, failure: UpstreamFailed) -> bool:
        """Set the key aside if it is to blame; whether another one can take its place at once."""
        reason = _REASONS.get(failure.error_type)
        if key is None or reason is None:
            return False
        told = f"{reason} (HTTP {failure.upstream_status})"
        rest_s = REST_S if failure.retry_after_s is None else failure.retry_after_s
        self._credentials.refused(provider.name, key.fingerprint, told, rest_s)
        setbacks, now = self._credentials.setbacks(provider.name), self._clock.monotonic()
        others = (other for other in provider.keys if other is not key)
        return any(not is_aside(setbacks.get(other.fingerprint), now) for other in others)

    def worked(self, provider: Provider, key: ApiKey | None) -> None:
        """The provider took the key."""
        setbacks = self._credentials.setbacks(provider.name)
        if setbacks and key is not None and key.fingerprint in setbacks:
            self._credentials.accepted(provider.name, key.fingerprint)
