"""The operator's keys at the providers: which of them are set aside, and until when.

One board per host tells all its workers. A key that a provider refused, or whose quota is spent, is left
alone for a time; after that the next request that meets it tries it again.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

import msgspec

from tristar.clock import Clock
from tristar.routing.catalog import Catalog, Provider

REST_S = 300.0
"""How long a key is set aside where the provider does not say."""

LONGEST_REST_S = 3600.0

Standing = Literal["ok", "degraded", "down"]


class Setback(msgspec.Struct, array_like=True, frozen=True):
    """Why a key is set aside, and until when (monotonic). `reason` never holds the key."""

    until: float
    reason: str


Setbacks = Mapping[str, Setback]
"""The keys of one provider that are set aside, by fingerprint."""

NO_SETBACKS: Setbacks = {}


class Credentials(Protocol):
    """What the relay asks before an attempt and tells after it; providers by name, keys by fingerprint."""

    def setbacks(self, provider: str) -> Setbacks:
        """The keys that have been set aside and did not succeed since; a local reading, no waiting."""
        ...

    def refused(self, provider: str, fingerprint: str, reason: str, rest_s: float) -> None:
        """The provider does not take this key now: leave it alone for so long."""
        ...

    def accepted(self, provider: str, fingerprint: str) -> None:
        """The provider took a key that had been set aside, after its time."""
        ...


class CredentialBoard:
    """The truth of one host. Event-loop thread only.

    `changed(provider)` is told after each change; `told(name, standing, reason)` of the standing of each
    key, by `key:PROVIDER:NUMBER`: `degraded` while others serve, `down` where none is left.
    """

    def __init__(self, catalog: Catalog, clock: Clock, told: Callable[[str, Standing, str], None]) -> None:
        self._clock = clock
        self._told = told
        self._watchers: list[Callable[[str], None]] = []
        self._setbacks: dict[str, dict[str, Setback]] = {}
        self._ailing: set[str] = set()
        self._providers = _providers(catalog)

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the provider's name after each change."""
        self._watchers.append(changed)

    def all(self) -> Mapping[str, Setbacks]:
        """Every provider of which a key is set aside."""
        return self._setbacks

    def adopt(self, catalog: Catalog) -> None:
        """Take a reloaded catalogue over; a provider whose keys have changed begins anew."""
        before, self._providers = self._providers, _providers(catalog)
        for name in list(self._setbacks):
            now = self._providers.get(name)
            if now is None or now.keys != before[name].keys:
                del self._setbacks[name]
                self._tell(name, len(before[name].keys))

    def setbacks(self, provider: str) -> Setbacks:
        """See `Credentials.setbacks`."""
        return self._setbacks.get(provider, NO_SETBACKS)

    def refused(self, provider: str, fingerprint: str, reason: str, rest_s: float) -> None:
        """See `Credentials.refused`."""
        known = self._providers.get(provider)
        if known is None or all(key.fingerprint != fingerprint for key in known.keys):
            return  # of a configuration that is no longer in force
        now = self._clock.monotonic()
        if is_aside(self.setbacks(provider).get(fingerprint), now):
            return
        setback = Setback(now + min(max(1.0, rest_s), LONGEST_REST_S), reason)
        self._setbacks.setdefault(provider, {})[fingerprint] = setback
        self._tell(provider, len(known.keys))

    def accepted(self, provider: str, fingerprint: str) -> None:
        """See `Credentials.accepted`."""
        setbacks = self._setbacks.get(provider, {})
        setback = setbacks.get(fingerprint)
        if setback is None or is_aside(setback, self._clock.monotonic()):
            return  # a request that was under way when the key was set aside proves nothing
        del setbacks[fingerprint]
        if not setbacks:
            del self._setbacks[provider]
        self._tell(provider, len(self._providers[provider].keys))

    def _tell(self, provider: str, numbers: int) -> None:
        known = self._providers.get(provider)
        keys = () if known is None else known.keys
        setbacks = self.setbacks(provider)
        bad: Standing = "down" if len(setbacks) == len(keys) else "degraded"
        for number in range(1, max(numbers, len(keys)) + 1):
            key = keys[number - 1] if number <= len(keys) else None
            setback = None if key is None else setbacks.get(key.fingerprint)
            name = f"key:{provider}:{number}"
            if key is not None and setback is not None:
                self._ailing.add(name)
                self._told(name, bad, f"{key.name}, sha256 {key.fingerprint}: {setback.reason}")
            elif name in self._ailing:
                self._ailing.discard(name)
                self._told(name, "ok", "")
        for changed in self._watchers:
            changed(provider)


def is_aside(setback: Setback | None, now: float) -> bool:
    """Whether a key is to be left alone at this time (monotonic)."""
    return setback is not None and setback.until > now


def _providers(catalog: Catalog) -> dict[str, Provider]:
    """Every provider that an llm uses or that is open, by name."""
    named = {llm.provider.name: llm.provider for llm in catalog.llms.values()}
    return {**catalog.open_providers, **named}
