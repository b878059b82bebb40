"""The limiter that all replicas share, if there is one."""

from collections.abc import Callable

from tristar.limits.local import LocalLimiter
from tristar.limits.redis import RedisStore
from tristar.limits.shared import SharedLimiter


def open_shared(
    redis_url: str | None, own: LocalLimiter, told: Callable[[str], None]
) -> SharedLimiter | None:
    """The limiter over the Redis at this URL, with `own` while it is away; None without a URL.

    `told` is `SharedLimiter`'s. Nothing is connected yet.

    Raises:
        SettingsInvalid: the redis package is not installed.
    """
    if redis_url is None:
        return None
    return SharedLimiter(RedisStore(redis_url), own, told)
