"""Where the audit log of this host goes besides its directory: its sinks, watched by the hub."""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from tristar.audit.sinks.fleet import Fleet
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.pump import SinkReading
from tristar.audit.writer import AuditWriter
from tristar.host.hub import Hub
from tristar.host.port import Port

_log = structlog.get_logger("tristar.host")


class Outlets:
    """The sinks at work. Event-loop thread only, but for the methods that say otherwise.

    A sink that becomes degraded, or well again, is logged and recorded once each time, and told to the
    workers.
    """

    def __init__(
        self,
        hub: Hub,
        port: Port,
        loop: asyncio.AbstractEventLoop,
        directory: Path,
        sinks: Sequence[SinkOptions],
    ) -> None:
        self._hub = hub
        self._port = port
        self._loop = loop
        self._writer: AuditWriter | None = None
        self._reasons: dict[str, str] = {}
        self._names = [f"sink:{sink.name}" for sink in sinks]
        self._fleet = Fleet(
            directory,
            sinks,
            durable=self._durable,
            random=random.SystemRandom(),
            told=self._told,
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

    async def adopt(self, sinks: Sequence[SinkOptions]) -> None:
        """Go on with these sinks.

        Raises:
            OSError: the disk failed; the ones from before go on.
        """
        await asyncio.to_thread(self._fleet.adopt, sinks)
        self._names = [f"sink:{sink.name}" for sink in sinks]
        self._reasons = {name: reason for name, reason in self._reasons.items() if name in self._names}
        self._port.tell_ailing(dict(self._reasons))

    async def stop(self) -> None:
        """Deliver what can be within two seconds; after the writer is closed."""
        await asyncio.to_thread(self._fleet.stop)

    def readings(self) -> Mapping[str, SinkReading]:
        """Every sink at this moment. From any thread."""
        return self._fleet.readings()

    def conditions(self) -> Mapping[str, float]:
        """1 for each that works, 0.5 for each that is degraded, by the dependency's name. From any thread."""
        return {name: 0.5 if name in self._reasons else 1.0 for name in self._names}

    def _durable(self) -> int:
        return 0 if self._writer is None else self._writer.size

    def _told(self, sink: str, reason: str) -> None:
        """On a sink's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is gone: we are being stopped
            self._loop.call_soon_threadsafe(self._changed, f"sink:{sink}", reason)

    def _changed(self, name: str, reason: str) -> None:
        if name not in self._names:
            return
        others = {other: said for other, said in self._reasons.items() if other != name}
        self._reasons = {**others, name: reason} if reason else others
        condition = "degraded" if reason else "ok"
        _log.warning("audit log", outlet=name, condition=condition, reason=reason)
        self._hub.event(
            "dependency_transition",
            f"dependency:{name}",
            {"to": condition, "reason": reason or None},
            "WARNING" if reason else "INFO",
        )
        self._port.tell_ailing(dict(self._reasons))
