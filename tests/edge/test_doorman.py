"""What a refusal says of its caller, by the limit that was reached."""

from typing import cast

import pytest
from tests.audit.specimens import exchange

from tristar.clock import ManualClock
from tristar.edge.doorman import RETOLD_S, Doorman
from tristar.errors import BadRequest, LimitExceeded
from tristar.ledger import Ledger, Notice


class Told:
    """A ledger that keeps the notices."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def notice(self, notice: Notice) -> None:
        """See `Ledger`."""
        self.notices.append(notice)


@pytest.mark.parametrize(
    ("limit", "action"),
    [
        ("requests", "rate_limited"),
        ("tokens", "rate_limited"),
        ("concurrency", "rate_limited"),
        ("budget_day", "budget_exceeded"),
        ("budget_month", "budget_exceeded"),
    ],
)
def test_a_budget_is_told_from_the_other_limits(limit: str, action: str) -> None:
    """By the name that the limiter gives to what was reached."""
    told = Told()
    refused = exchange(status=429, outcome="refused", details={"limit": limit})
    Doorman(cast("Ledger", told), ManualClock()).refused(refused, LimitExceeded("no"))

    assert [(notice.action, notice.reason, notice.user_id) for notice in told.notices] == [
        (action, limit, "key_1")
    ]


def test_a_malformed_request_says_nothing_of_its_caller() -> None:
    """Its own record does."""
    told = Told()
    Doorman(cast("Ledger", told), ManualClock()).refused(exchange(), BadRequest("no"))

    assert told.notices == []


def test_a_key_in_use_is_told_once_a_minute() -> None:
    """The hub decides what is recorded of it."""
    told, clock = Told(), ManualClock()
    doorman = Doorman(cast("Ledger", told), clock)
    for _ in range(4):
        doorman.admitted(exchange())
        clock.advance(RETOLD_S / 2)

    assert [notice.action for notice in told.notices] == ["auth_success"] * 2
