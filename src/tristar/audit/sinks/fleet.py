"""All sinks of a host: made, watched and stopped together."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tristar.audit.sinks.cursor import FROM_NOW, CursorFile, release_others
from tristar.audit.sinks.opening import open_receiver
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.pump import Pump, Random, SinkReading, Told
from tristar.audit.sinks.receiver import Receiver
from tristar.audit.sinks.spool import Spool

_log = logging.getLogger(__name__)

_STOP_S: Final = 2.0
_LAST_S: Final = 0.1


class Fleet:
    """The sinks of one log; its methods are called from one thread and do not wait for a receiver.

    `told(name, reason)` is called from a sink's own thread: see `Pump`. `durable` tells how many records are.
    """

    def __init__(
        self,
        directory: Path,
        sinks: Sequence[SinkOptions],
        *,
        durable: Callable[[], int],
        random: Random,
        told: Told,
        opener: Callable[[SinkOptions], Receiver] = open_receiver,
    ) -> None:
        self._directory = directory
        self._wanted = tuple(sinks)
        self._durable = durable
        self._random = random
        self._told = told
        self._opener = opener
        self._pumps: dict[str, Pump] = {}

    def claim(self) -> None:
        """Have retention know what each mandatory sink needs; before the log's writer is opened.

        Raises:
            OSError: a cursor could not be written.
        """
        for sink in self._wanted:
            begin = FROM_NOW if sink.start == "now" else 0
            CursorFile(self._directory, sink.name).claim(mandatory=sink.mandatory, begin=begin)
        for name in release_others(self._directory, {sink.name for sink in self._wanted}):
            _log.warning("audit sink %s is not configured any more: it holds no records back", name)

    def start(self) -> None:
        """Begin to deliver."""
        for sink in self._wanted:
            self._launch(sink)

    def adopt(self, sinks: Sequence[SinkOptions]) -> None:
        """Go on with these sinks: new and changed ones begin, removed ones end, the others are left alone.

        Raises:
            OSError: a cursor could not be written; what was running goes on.
        """
        before, self._wanted = self._wanted, tuple(sinks)
        try:
            self.claim()
        except OSError:
            self._wanted = before
            raise
        kept = set(before) & set(self._wanted)
        ending = [self._pumps.pop(sink.name) for sink in before if sink not in kept]
        _end(ending)
        for sink in self._wanted:
            if sink not in kept:
                self._launch(sink)

    def readings(self) -> Mapping[str, SinkReading]:
        """Every sink at this moment, by name."""
        return {name: pump.reading() for name, pump in tuple(self._pumps.items())}

    def stop(self) -> None:
        """Deliver what receivers take within two seconds, then end; the next start sends the rest.

        Call it when the log's writer is closed.
        """
        _end(list(self._pumps.values()))

    def _launch(self, sink: SinkOptions) -> None:
        pump = Pump(
            sink,
            self._opener,
            spool=Spool(self._directory, self._durable),
            cursor=CursorFile(self._directory, sink.name),
            durable=self._durable,
            random=self._random,
            told=self._told,
        )
        self._pumps[sink.name] = pump
        pump.start()


def _end(pumps: Sequence[Pump]) -> None:
    for pump in pumps:
        pump.finish()
    until = time.monotonic() + _STOP_S
    for pump in pumps:
        pump.join(max(0.0, until - time.monotonic()))
        pump.halt()
    for pump in pumps:
        if not pump.join(_LAST_S):
            _log.warning("audit sink %s: a delivery was cut short; it will be repeated", pump.options.name)
