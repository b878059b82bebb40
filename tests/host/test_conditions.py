"""How dependencies fare: each turn told once, and recorded even when the log itself was away."""

import asyncio

from tests.host.test_hub import Desk

from tristar.errors import AuditUnavailable
from tristar.host.conditions import Condition, Conditions


def recorded(desk: Desk) -> list[str]:
    """The transitions that the writer was given, in order."""
    lines = [bytes(draft.head) + bytes(draft.tail) for draft, _ in desk.writer.queue]
    return [
        f"{name} {status}"
        for line in lines
        for name in ("redis", "audit")
        for status in ("ok", "degraded", "down")
        if b"dependency:" + name.encode() in line and b'"to":"' + status.encode() in line
    ]


async def test_each_turn_is_told_once() -> None:
    """Another reason is no other turn; readiness hears of it all the same."""
    desk = Desk(strict=True)
    conditions, told = Conditions(desk.hub), list[tuple[str, Condition]]()
    conditions.watch(lambda name, condition: told.append((name, condition)))
    for status, reason in (("ok", ""), ("degraded", "a"), ("degraded", "a"), ("degraded", "b"), ("ok", "")):
        conditions.note("redis", status, reason)  # type: ignore[arg-type]  # the literals above

    assert recorded(desk) == ["redis degraded", "redis ok"]
    assert [condition.reason for _, condition in told] == ["a", "b", ""]
    assert conditions.readings() == {"redis": 1.0}
    desk.hub.close()


async def test_what_the_log_could_not_take_is_recorded_when_it_can() -> None:
    """Its own outage, and what turned meanwhile; none is counted as lost."""
    desk = Desk(strict=True)
    conditions = Conditions(desk.hub)
    desk.hub.watch_health(lambda reason: conditions.note("audit", "down" if reason else "ok", reason))
    desk.enter()
    await desk.commit(AuditUnavailable("no space"))
    conditions.note("redis", "degraded", "gone")
    away = recorded(desk), conditions.readings()
    desk.enter()
    await desk.commit()
    await asyncio.sleep(0)

    assert away == ([], {"audit": 0.0, "redis": 0.5})
    assert recorded(desk) == ["audit down", "redis degraded", "audit ok"]
    assert conditions.readings() == {"audit": 1.0, "redis": 0.5}
    desk.hub.close()
