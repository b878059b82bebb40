"""The store in Redis: one script call per reserve, one per settle, for any number of replicas.

Times are the server's, so that replicas whose clocks differ agree. All keys carry one hash tag: a
cluster keeps them on one node, where the script is atomic. Nothing here waits for a deadline, that
is `SharedLimiter`'s.
"""

from collections.abc import Callable, Sequence
from importlib import resources
from typing import cast

from tristar.limits.allowance import Amount, Subject
from tristar.limits.calendar import DAY_S, month_of
from tristar.limits.limiter import NOTHING, Reservation, charge
from tristar.limits.store import Spending, Verdict
from tristar.limits.usage import Standings, Usage, refusal, standings
from tristar.sharing import Script, StoreUnavailable

FIELDS = 7

ClockMs = Callable[[], int]


class RedisStore:
    """See `Store` and `Script`. `prefix` separates gateways that share a Redis.

    `clock_ms` stands in for the server's clock.

    Raises:
        SettingsInvalid: the `redis` extra is not installed.
    """

    def __init__(self, url: str, prefix: str = "tristar", clock_ms: ClockMs | None = None) -> None:
        self._tag = f"{{{prefix}:limits}}"
        self._clock_ms = clock_ms
        source = resources.files(__package__).joinpath("limits.lua").read_text(encoding="utf-8")
        self._script = Script(url, source)

    async def open(self) -> None:
        """See `Store.open`."""
        await self._script.open()

    async def reserve(self, reservation: Reservation, lease_s: float) -> Verdict:
        """See `Store.reserve`."""
        reply = await self._run("reserve", reservation, int(lease_s * 1000), 0)
        return _verdict(reservation, reply)

    async def settle(self, reservation: Reservation, actual: Amount | None) -> None:
        """See `Store.settle`."""
        tokens, microusd = charge(reservation, actual)
        made = actual is None or actual.made
        await self._run("settle" if made else "undo", reservation, tokens, microusd)

    async def look(self, subjects: Sequence[Subject]) -> Sequence[Usage]:
        """See `Store.look`."""
        reply = await self._run("look", Reservation("", subjects, NOTHING, Standings()), 0, 0)
        return _usages(reply, len(subjects))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._script.close()

    async def _run(self, operation: str, reservation: Reservation, first: int, second: int) -> list[int]:
        need = reservation.need
        now: int | str = "" if self._clock_ms is None else self._clock_ms()
        held = need.tokens, need.cost_microusd or 0
        arguments: list[int | str] = [operation, reservation.id, now, *held, first, second]
        for subject in reservation.subjects:
            arguments += ["" if limit is None else limit for limit in subject.allowance.limits]
        keys = self._keys(reservation.subjects)
        return cast("list[int]", await self._script.run(keys, arguments))

    def _keys(self, subjects: Sequence[Subject]) -> list[str]:
        keys = []
        for subject in subjects:
            keys += [f"{self._tag}:spent:{subject.name}", f"{self._tag}:leases:{subject.name}"]
        return keys


def _usages(reply: Sequence[int], count: int) -> Sequence[Usage]:
    return [Usage(*reply[at : at + FIELDS]) for at in range(2, 2 + FIELDS * count, FIELDS)]


def _verdict(reservation: Reservation, reply: Sequence[int]) -> Verdict:
    done, now_ms = reply[0], reply[1]
    subjects = reservation.subjects
    usages = _usages(reply, len(subjects))
    refused = None
    if not done:
        refused = refusal(subjects, usages, reservation.need, now_ms / 1000)
        if refused is None:
            raise StoreUnavailable("the script refused what is within every limit")
    day = now_ms // 1000 // DAY_S
    spendings = [
        Spending(subject.name, day, usage.spent_day, month_of(day), usage.spent_month)
        for subject, usage in zip(subjects, usages, strict=True)
        if subject.allowance.has_budget
    ]
    return Verdict(refused, standings(subjects, usages), spendings)
