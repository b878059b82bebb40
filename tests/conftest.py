"""Fixtures for every test: scripted upstreams, and gateways that really run."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.gateway.fixtures import gateway, house, lane
from tests.upstream import Upstream

# How long examples take is the machine's affair, not the code's.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

__all__ = ["gateway", "house", "lane", "upstream"]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A scripted upstream on a free port; every model answers unless the test says otherwise."""
    with Upstream() as running:
        yield running
