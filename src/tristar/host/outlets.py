"""Where the audit log of this host goes besides its directory: sinks and anchors, watched by the hub."""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.anchors.watch import AnchorReading, AnchorWatch
from tristar.audit.sinks.fleet import Fleet
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.pump import SinkReading
from tristar.audit.writer import AuditWriter
from tristar.clock import Clock
from tristar.host.conditions import Condition, Status
from tristar.host.hub import Hub
from tristar.host.port import Port

_log = structlog.get_logger("tristar.host")


class Outlets:
    """Sinks and anchors at work. Event-loop thread only, but for the methods that say otherwise.

    One that becomes degraded, or well again, is logged and recorded once each time, and told to the workers.
    """

    def __init__(
        self,
        hub: Hub,
        port: Port,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        directory: Path,
        sinks: Sequence[SinkOptions],
        anchors: Sequence[AnchorOptions],
    ) -> None:
        self._hub = hub
        self._port = port
        self._loop = loop
        self._clock = clock
        self._directory = directory
        self._random = random.SystemRandom()
        self._writer: AuditWriter | None = None
        self._reasons: dict[str, str] = {}
        self._anchors: Mapping[str, AnchorWatch] = {}
        self._anchor_options = tuple(anchors)
        self._names = _names(sinks, anchors)
        self._fleet = Fleet(
            directory,
            sinks,
            durable=self._durable,
            random=self._random,
            told=self._sink_told,
        )

    def claim(self) -> None:
        """Have retention know what mandatory sinks need; blocks. Before the writer is opened.

        Raises:
            OSError: the disk failed.
        """
        self._fleet.claim()

    def start(self, writer: AuditWriter) -> None:
        """Begin to deliver what this writer makes durable."""
        self._writer = writer
        self._fleet.start()
        self._anchor()

    async def adopt(self, sinks: Sequence[SinkOptions], anchors: Sequence[AnchorOptions]) -> None:
        """Go on with these sinks and anchors.

        Raises:
            OSError: the disk failed; the ones from before go on.
        """
        await asyncio.to_thread(self._fleet.adopt, sinks)
        self._anchor_options = tuple(anchors)
        self._anchor()
        self._names = _names(sinks, anchors)
        self._reasons = self._said()
        self._port.tell_ailing(dict(self._reasons))

    async def stop(self) -> None:
        """Deliver what can be within two seconds; after the writer is closed."""
        for watch in self._anchors.values():
            watch.halt()
        await asyncio.to_thread(self._fleet.stop)

    def readings(self) -> Mapping[str, SinkReading]:
        """Every sink at this moment. From any thread."""
        return self._fleet.readings()

    def anchor_readings(self) -> Mapping[str, AnchorReading]:
        """Every anchor at this moment. From any thread."""
        return {name: watch.reading() for name, watch in self._anchors.items()}

    def conditions(self) -> Mapping[str, float]:
        """1 for each that works, 0.5 for each that is degraded, by the dependency's name. From any thread."""
        return {name: 0.5 if name in self._reasons else 1.0 for name in self._names}

    def _anchor(self) -> None:
        """Have exactly the configured anchors at work; those that did not change are left alone."""
        wanted = {options.name: options for options in self._anchor_options}
        kept = {name: watch for name, watch in self._anchors.items() if wanted.get(name) == watch.options}
        for name, watch in self._anchors.items():
            if name not in kept:
                watch.halt()
        made = {
            name: AnchorWatch(
                options, self._directory, clock=self._clock, random=self._random, told=self._anchor_told
            )
            for name, options in wanted.items()
            if name not in kept
        }
        for watch in made.values():
            watch.start()
        self._anchors = {**kept, **made}

    def _said(self) -> dict[str, str]:
        """What ails each of those at work now: one that was changed begins anew."""
        sinks = {f"sink:{name}": reading.reason for name, reading in self.readings().items()}
        anchors = {f"anchor:{name}": reading.reason for name, reading in self.anchor_readings().items()}
        return {name: reason for name, reason in {**sinks, **anchors}.items() if reason}

    def _durable(self) -> int:
        return 0 if self._writer is None else self._writer.size

    def _sink_told(self, sink: str, reason: str) -> None:
        self._told(f"sink:{sink}", reason)

    def _anchor_told(self, anchor: str, reason: str) -> None:
        self._told(f"anchor:{anchor}", reason)

    def _told(self, name: str, reason: str) -> None:
        """On the thread of a sink or anchor."""
        with contextlib.suppress(RuntimeError):  # the loop is gone: we are being stopped
            self._loop.call_soon_threadsafe(self._changed, name, reason)

    def _changed(self, name: str, reason: str) -> None:
        if name not in self._names:
            return
        condition: Status = "degraded" if reason else "ok"
        before: Status = "degraded" if name in self._reasons else "ok"
        if condition != before:
            self._port.conditions.turned(name, before, Condition(condition, reason))
        others = {other: said for other, said in self._reasons.items() if other != name}
        self._reasons = {**others, name: reason} if reason else others
        _log.warning("audit log", outlet=name, condition=condition, reason=reason)
        self._hub.event(
            "dependency_transition",
            f"dependency:{name}",
            {"to": condition, "reason": reason or None},
            "WARNING" if reason else "INFO",
        )
        self._port.tell_ailing(dict(self._reasons))


def _names(sinks: Sequence[SinkOptions], anchors: Sequence[AnchorOptions]) -> list[str]:
    return [*(f"sink:{sink.name}" for sink in sinks), *(f"anchor:{anchor.name}" for anchor in anchors)]
