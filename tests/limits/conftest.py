"""Real Redis servers, started once per module."""

from collections.abc import Iterator

import pytest
from tests.limits import servers


@pytest.fixture(scope="module")
def redis_server() -> Iterator[servers.Server]:
    """One server."""
    with servers.server() as running:
        yield running


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[str]:
    """The URL of a cluster of three."""
    with servers.cluster() as (url, _):
        yield url
