"""What sections 5, 6 and 9 share."""

from collections.abc import Iterator

import pytest
from tests.guide.household import Household, open_household


@pytest.fixture(scope="package")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """The busy gateway with its Prometheus; traffic flows when a test asks for it."""
    with open_household(tmp_path_factory.mktemp("household")) as running:
        yield running
