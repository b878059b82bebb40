"""Real Redis servers, as the tests of the limits start them."""

from tests.limits.conftest import redis_cluster, redis_server

__all__ = ["redis_cluster", "redis_server"]
