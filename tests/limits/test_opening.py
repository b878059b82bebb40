"""Whether limits are shared, and what a start without the redis package says."""

import sys

import pytest

from tristar.clock import ManualClock
from tristar.errors import SettingsInvalid
from tristar.limits.local import LocalLimiter
from tristar.limits.opening import open_shared
from tristar.limits.shared import SharedLimiter

URL = "redis://:sk-canary-password@cache:6379/0"


def nobody(reason: str) -> None:
    """Hears of no turn."""
    raise AssertionError(reason)


def test_limits_are_shared_where_there_is_a_redis() -> None:
    """And nothing is connected before it is opened."""
    own = LocalLimiter(ManualClock())

    assert open_shared(None, own, nobody) is None
    assert isinstance(open_shared(URL, own, nobody), SharedLimiter)


def test_a_missing_package_is_a_fault_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named with its variable and the way out, without the password."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(SettingsInvalid) as raised:
        open_shared(URL, LocalLimiter(ManualClock()), nobody)

    assert "REDIS_URL" in str(raised.value)
    assert "pip install" in str(raised.value)
    assert "canary" not in str(raised.value)
