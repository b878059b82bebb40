"""Every test here runs on each surface, and one that uses the shared gateway also proves balanced books."""

from collections.abc import Iterator

import pytest
from tests.gateway.balance import balanced_books
from tests.gateway.view import PRESENT, SURFACES

__all__ = ["balanced_books"]


@pytest.fixture(autouse=True, params=SURFACES)
def surface(request: pytest.FixtureRequest) -> Iterator[None]:
    """What `look` asks on; see `view.SURFACES`."""
    token = PRESENT.set(SURFACES[request.param])
    yield
    PRESENT.reset(token)
