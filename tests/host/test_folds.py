"""Repeated refusals are counted, so that nobody can flood the log from outside."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.clock import ManualClock
from tristar.host import folds
from tristar.host.folds import LOGIN_S, MOST_CALLERS, WINDOW_S, Fold, Folds
from tristar.ledger import Notice


def notice(
    action: str = "auth_failure", address: str | None = "192.0.2.1", reason: str = "unknown"
) -> Notice:
    """A request of this address was turned away."""
    return Notice(action, "/v1/chat", "SECURITY", reason, None, address, None, "t")


class Desk:
    """Folds, their clock, and what they had recorded."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.recorded: list[Fold] = []
        self.folds = Folds(self.clock, self.recorded.append)

    def pass_(self, seconds: float) -> None:
        """Time passes, and the hub ticks."""
        self.clock.advance(seconds)
        self.folds.sweep()

    @property
    def counts(self) -> list[int]:
        """How many each record tells of."""
        return [fold.count for fold in self.recorded]


def test_the_first_is_recorded_at_once_and_what_follows_within_the_minute_as_one() -> None:
    """With how many they were, why, and from when to when."""
    desk = Desk()
    for reason in ("unknown", "unknown", "missing", "unknown"):
        desk.folds.take(notice(reason=reason))
        desk.pass_(10)
    assert desk.counts == [1]

    desk.pass_(WINDOW_S)

    assert desk.counts == [1, 3]
    assert desk.recorded[1].reasons == {"unknown": 2, "missing": 1}
    assert desk.recorded[1].until - desk.recorded[1].since == pytest.approx(20)


def test_after_a_quiet_minute_the_next_one_is_recorded_at_once_again() -> None:
    """And nothing is recorded of the quiet."""
    desk = Desk()
    desk.folds.take(notice())
    desk.pass_(WINDOW_S)
    desk.folds.take(notice())

    assert desk.counts == [1, 1]


def test_callers_and_actions_are_told_apart() -> None:
    """By address, by key and by what was refused; IPv6 addresses of one network are one caller."""
    desk = Desk()
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", None):
        desk.folds.take(notice(address=address))
    desk.folds.take(notice("access_denied"))

    assert len(desk.recorded) == 6


def test_the_end_of_the_service_loses_no_count() -> None:
    """What is counted is recorded before the log closes."""
    desk = Desk()
    for _ in range(5):
        desk.folds.take(notice())
    desk.folds.flush()
    desk.folds.flush()

    assert desk.counts == [1, 4]


def test_a_key_in_use_is_recorded_once_an_hour() -> None:
    """However many requests it makes; nothing is recorded of the repeats."""
    desk = Desk()
    for _ in range(120):
        desk.folds.take(notice("auth_success"))
        desk.pass_(LOGIN_S / 60)
    desk.folds.flush()

    assert desk.counts == [1, 1]


def test_memory_is_bounded_whatever_addresses_a_flood_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many callers the others are one, without an address; none is left uncounted."""
    monkeypatch.setattr(folds, "MOST_CALLERS", 10)
    desk = Desk()
    for number in range(50):
        desk.folds.take(notice(address=f"192.0.2.{number}"))
        desk.folds.take(notice("auth_success", address=f"192.0.2.{number}"))
    desk.pass_(WINDOW_S)
    failures = [fold for fold in desk.recorded if fold.last.action == "auth_failure"]

    assert sum(fold.count for fold in failures) == 50
    assert [fold.count for fold in failures if fold.last.ip_address is None] == [1, 39]
    assert MOST_CALLERS == 10_000


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 90))))
def test_counts_add_up_to_what_happened(steps: list[tuple[int, float]]) -> None:
    """Whatever comes when: the records of each caller count each refusal once."""
    desk = Desk()
    happened: Counter[str | None] = Counter()
    for number, wait_s in steps:
        address = f"192.0.2.{number}"
        desk.folds.take(notice(address=address))
        happened[address] += 1
        desk.pass_(wait_s)
    desk.folds.flush()
    told: Counter[str | None] = Counter()
    for fold in desk.recorded:
        told[fold.last.ip_address] += fold.count

    assert told == happened
