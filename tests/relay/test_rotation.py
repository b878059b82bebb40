"""Which key goes with a request, and which is left out."""

from collections import Counter

import pytest

from tristar.clock import ManualClock
from tristar.errors import UpstreamFailed, UpstreamUnwell
from tristar.relay.rotation import Rotation
from tristar.routing.catalog import ApiKey, Catalog, Llm, Provider
from tristar.routing.credentials import REST_S, CredentialBoard

SECRETS = ("sk-canary-1", "sk-canary-2", "sk-canary-3")


class Place:
    """A provider with so many keys, its board and its rotation; `told` is what an operator hears."""

    def __init__(self, keys: int) -> None:
        self.clock = ManualClock()
        self.told: list[tuple[str, str]] = []
        self.reasons: list[str] = []
        self.provider = self.with_keys(*SECRETS[:keys])
        self.board = CredentialBoard(self.catalog(self.provider), self.clock, self._tell)
        self.rotation = Rotation(self.board, self.clock)

    @staticmethod
    def with_keys(*secrets: str) -> Provider:
        """The provider, holding these."""
        named = tuple(ApiKey(secret, f"KEY_{number}") for number, secret in enumerate(secrets, 1))
        return Provider("p", "openai", "http://h/v1", named)

    @staticmethod
    def catalog(provider: Provider) -> Catalog:
        """A catalogue with one llm of it."""
        return Catalog([Llm("a", provider, "a")])

    def _tell(self, name: str, standing: str, reason: str) -> None:
        self.told.append((name, standing))
        self.reasons.append(reason)

    def next(self, times: int = 1) -> list[str]:
        """The keys of the next requests."""
        keys = (self.rotation.next(self.provider) for _ in range(times))
        return ["" if key is None else key.secret for key in keys]

    def fail(self, number: int, error_type: str = "auth", retry_after_s: float | None = None) -> bool:
        """The provider refuses that key; whether the request may go on with another."""
        failure = refused(error_type, retry_after_s)
        return self.rotation.failed(self.provider, self.provider.keys[number - 1], failure)

    def work(self, number: int) -> None:
        """The provider takes that key."""
        self.rotation.worked(self.provider, self.provider.keys[number - 1])


def refused(error_type: str, retry_after_s: float | None) -> UpstreamFailed:
    """A refusal, whose message quotes a key as some providers do."""
    failure = UpstreamUnwell("Incorrect API key provided: sk-canary-1", retry_after_s=retry_after_s)
    failure.error_type, failure.upstream_status = error_type, 401
    return failure


def test_keys_are_used_in_turn() -> None:
    """Each carries its share."""
    assert Counter(Place(3).next(9)) == dict.fromkeys(SECRETS, 3)


def test_a_refused_key_is_left_out_until_its_time_is_over() -> None:
    """The others carry its share; then it is tried again."""
    place = Place(3)
    goes_on = place.fail(2)
    during = place.next(6)
    place.clock.advance(REST_S)

    assert goes_on
    assert set(during) == {SECRETS[0], SECRETS[2]}
    assert set(place.next(3)) == set(SECRETS)


def test_the_providers_own_word_says_how_long_a_spent_quota_lasts() -> None:
    """A Retry-After of a minute is a minute; one of a week is not believed."""
    place = Place(2)
    place.fail(1, "quota", 60.0)
    place.fail(2, "quota", 604_800.0)
    place.clock.advance(60.0)
    first = place.next(2)
    place.clock.advance(3_540.0)

    assert first == [SECRETS[0]] * 2
    assert set(place.next(2)) == set(SECRETS[:2])


@pytest.mark.parametrize("error_type", ["server_error", "rate_limited", "bad_request", "timeout"])
def test_what_is_not_the_keys_fault_sets_none_aside(error_type: str) -> None:
    """Another key would meet the same."""
    place = Place(2)

    assert not place.fail(1, error_type)
    assert place.told == []


def test_when_every_key_is_set_aside_the_first_to_be_free_is_used() -> None:
    """There is nothing to lose: the request meets what it would have met with one key alone."""
    place = Place(2)
    place.fail(2)
    place.clock.advance(1.0)
    goes_on = place.fail(1)

    assert not goes_on
    assert place.next(3) == [SECRETS[1]] * 3


def test_an_only_key_is_always_used_and_reported_all_the_same() -> None:
    """A request more costs nothing, and the operator has to know."""
    place = Place(1)
    goes_on = place.fail(1)

    assert not goes_on
    assert place.next(2) == [SECRETS[0]] * 2
    assert place.told == [("key:p:1", "down")]


def test_each_turn_of_a_key_is_told_once() -> None:
    """However many requests meet it."""
    place = Place(2)
    for _ in range(5):
        place.fail(1)
        place.work(1)
    place.clock.advance(REST_S)
    for _ in range(5):
        place.work(1)

    assert place.told == [("key:p:1", "degraded"), ("key:p:1", "ok")]


def test_a_success_that_was_under_way_proves_nothing() -> None:
    """Its request went out before the key was refused."""
    place = Place(2)
    place.fail(1)
    place.work(1)

    assert set(place.next(4)) == {SECRETS[1]}


def test_losing_the_last_key_is_worse_than_losing_one() -> None:
    """`degraded` while others serve, `down` for all where none is left."""
    place = Place(2)
    place.fail(1)
    place.fail(2)

    assert place.told == [("key:p:1", "degraded"), ("key:p:1", "down"), ("key:p:2", "down")]


def test_new_keys_begin_anew() -> None:
    """A replaced key is well at once after the reload, and a late refusal of the old one is nothing."""
    place = Place(2)
    place.fail(1)
    old = place.provider
    place.provider = place.with_keys("sk-canary-new", SECRETS[1])
    place.board.adopt(place.catalog(place.provider))
    place.rotation.failed(old, old.keys[0], refused("auth", None))

    assert place.told == [("key:p:1", "degraded"), ("key:p:1", "ok")]
    assert set(place.next(2)) == {"sk-canary-new", SECRETS[1]}


def test_a_reload_that_leaves_the_keys_as_they_are_changes_nothing() -> None:
    """A key that is bad stays so."""
    place = Place(2)
    place.fail(1)
    place.board.adopt(place.catalog(place.with_keys(*SECRETS[:2])))

    assert place.told == [("key:p:1", "degraded")]
    assert set(place.next(4)) == {SECRETS[1]}


def test_what_is_told_names_a_key_without_giving_it_away() -> None:
    """Its variable and a fingerprint; neither the key nor the provider's message, which may quote it."""
    place = Place(2)
    place.fail(1)

    assert place.reasons == ["KEY_1, sha256 9e156b18: the provider refused it (HTTP 401)"]
    assert "canary" not in repr(place.provider) + repr(place.board.all())
