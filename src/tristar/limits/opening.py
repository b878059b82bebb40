"""The limiter that all replicas share, if there is one."""

from collections.abc import Callable

from tristar.errors import Fault, SettingsInvalid
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
    try:
        store = RedisStore(redis_url)
    except ImportError as error:
        problem = "is set, but the redis package is not installed"
        fix = "Install it with the extra `redis` (pip install 'tristar[redis]'), or unset REDIS_URL."
        raise SettingsInvalid([Fault("REDIS_URL", "", problem, fix)]) from error
    return SharedLimiter(store, own, told)
