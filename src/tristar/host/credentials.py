"""A worker's view of the operator's keys at the providers."""

from tristar.clock import Clock
from tristar.host.frames import KeyAccepted, KeyRefused
from tristar.host.link import Link
from tristar.routing.credentials import NO_SETBACKS, Setback, Setbacks, is_aside


class LinkCredentials:
    """See `Credentials`; the hub decides and tells every worker, this one knows of its own at once."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock

    def setbacks(self, provider: str) -> Setbacks:
        """See `Credentials.setbacks`."""
        return self._link.setbacks.get(provider, NO_SETBACKS)

    def refused(self, provider: str, fingerprint: str, reason: str, rest_s: float) -> None:
        """See `Credentials.refused`."""
        known, now = self.setbacks(provider), self._clock.monotonic()
        if is_aside(known.get(fingerprint), now):
            return
        self._link.setbacks[provider] = {**known, fingerprint: Setback(now + rest_s, reason)}
        self._link.tell(KeyRefused(provider, fingerprint, reason, rest_s))

    def accepted(self, provider: str, fingerprint: str) -> None:
        """See `Credentials.accepted`."""
        if not is_aside(self.setbacks(provider).get(fingerprint), self._clock.monotonic()):
            self._link.tell(KeyAccepted(provider, fingerprint))
