"""How what this host leans on fares, and who is told of each turn."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
import structlog

from tristar.audit.record import timestamp
from tristar.host.hub import Hub

Status = Literal["ok", "degraded", "down"]

HELD: Final = 1_000
TURNS: Final = 20
_READINGS: Final[Mapping[Status, float]] = {"ok": 1.0, "degraded": 0.5, "down": 0.0}

_log = structlog.get_logger("tristar")


class Condition(msgspec.Struct, frozen=True, array_like=True):
    """How one dependency fares; `degraded`: the gateway gets by without it, `down`: it refuses."""

    status: Status = "ok"
    reason: str = ""


class Turn(msgspec.Struct):
    """One change of a dependency's status."""

    at: str
    before: Status
    now: Status
    reason: str | None


WELL: Final = Condition()


class Conditions:
    """The present condition of each dependency of a host. Event-loop thread only, but for `readings`.

    Each change of a status is one line in the log and one `dependency_transition` in the audit log,
    however many requests have met it. What the audit log cannot take is recorded when it can.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._known: dict[str, Condition] = {}
        self._on_change: list[Callable[[str, Condition], None]] = []
        self._turns: dict[str, deque[Turn]] = {}
        self._held: deque[tuple[str, Condition, float]] = deque(maxlen=HELD)

    def watch(self, told: Callable[[str, Condition], None]) -> None:
        """Call `told` with name and condition on every change."""
        self._on_change.append(told)

    def all(self) -> Mapping[str, Condition]:
        """Every dependency that was ever noted."""
        return self._known

    def readings(self) -> dict[str, float]:
        """The values of `ailinux_dependency_up`; from any thread."""
        return {name: _READINGS[condition.status] for name, condition in dict(self._known).items()}

    def turns(self) -> Mapping[str, Sequence[Turn]]:
        """The last turns of each dependency that has had any, the newest first."""
        return {name: list(reversed(turns)) for name, turns in self._turns.items()}

    def turned(self, name: str, before: Status, now: Condition) -> None:
        """Remember a turn, for those who look on."""
        turn = Turn(timestamp(self._hub.clock.time()), before, now.status, now.reason or None)
        self._turns.setdefault(name, deque(maxlen=TURNS)).append(turn)

    def note(self, name: str, status: Status, reason: str = "") -> None:
        """Say how a dependency fares; the first time, `ok` goes without saying."""
        before = self._known.get(name, WELL)
        now = self._known[name] = Condition(status, reason)
        if now != before:
            for told in self._on_change:
                told(name, now)
        if now.status != before.status:
            self.turned(name, before.status, now)
            self._tell(name, now)

    def _tell(self, name: str, condition: Condition) -> None:
        say = _log.info if condition.status == "ok" else _log.warning
        say("dependency", name=name, condition=condition.status, reason=condition.reason)
        if self._hub.unwell:
            self._held.append((name, condition, self._hub.clock.time()))
            return
        while self._held:
            self._record(*self._held.popleft())
        self._record(name, condition, math.nan)

    def _record(self, name: str, condition: Condition, noticed_at: float) -> None:
        details: dict[str, object] = {"to": condition.status, "reason": condition.reason or None}
        if not math.isnan(noticed_at):
            details["noticed_at"] = timestamp(noticed_at)
        level = "INFO" if condition.status == "ok" else "WARNING"
        self._hub.event("dependency_transition", f"dependency:{name}", details, level)
