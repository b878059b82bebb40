"""Every test in a shared house ends with balanced books."""

from collections.abc import Iterator

import pytest
from tests.gateway.books import assert_books_balance
from tests.gateway.house import House


@pytest.fixture(autouse=True)
def balanced_books(request: pytest.FixtureRequest) -> Iterator[None]:
    """After the test, whatever it did to the gateway: the metrics and the audit log agree."""
    yield
    if "house" in request.fixturenames:
        house: House = request.getfixturevalue("house")
        assert_books_balance(house.gateway, unmatched_elsewhere=house.unmatched_elsewhere)
