"""A process that writes a small log through all of its life: rotation, retention, closing, opening again."""

import contextlib
import ctypes
import logging
import os
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tests.audit.bench import Own, draft

from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.errors import AuditCorrupt, AuditUnavailable

DAY_S = 86_400
LOG_NAME = "tristar-audit/test/00000001"
_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)
_PATIENCE_S = 3.0


class Calendar:
    """Real time that passes, with days that are turned by hand."""

    def __init__(self) -> None:
        self.days = 0
        self.monotonic = time.monotonic

    def time(self) -> float:
        """See `Clock.time`."""
        return time.time() + self.days * DAY_S


class Teller:
    """Where fates are told: event id and number of each durable record, at once, in a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._changed = threading.Condition()
        self.fates = 0

    def settle(self, tokens: Sequence[object], seqs: Sequence[int], error: AuditUnavailable | None) -> None:
        """See `Port.settle`."""
        try:
            if error is None:
                told = "".join(f"{token} {seq}\n" for token, seq in zip(tokens, seqs, strict=True))
                os.write(self._descriptor, told.encode())
        finally:
            with self._changed:
                self.fates += len(tokens)
                self._changed.notify_all()

    def wait(self, count: int) -> None:
        """Return once so many have a fate, or it takes too long: under a broken disk that may be."""
        with self._changed:
            self._changed.wait_for(lambda: self.fates >= count, _PATIENCE_S)


def scribble(go: Connection, root: str, told: str, records: int, retention_days: float) -> None:
    """Once told to go: write, three records at a time, in two sittings, a day passing now and then.

    Ends with code 3 where the log could not be opened.
    """
    logging.disable()  # of the faults that are injected all that counts is what becomes of the records
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
    go.send(None)
    go.recv()
    calendar, teller = Calendar(), Teller(Path(told))
    try:
        for sitting in ("first", "second"):
            writer = _opened(Path(root), calendar, sitting, retention_days)
            try:
                _write(writer, calendar, teller, [f"{sitting}-{n}" for n in range(records // 2)])
            finally:
                writer.close()
    except (OSError, AuditCorrupt, AuditUnavailable):
        os._exit(3)
    os._exit(0)


def _opened(root: Path, calendar: Calendar, sitting: str, retention_days: float) -> AuditWriter:
    return AuditWriter.open(
        root / "audit",
        options=WriterOptions(
            max_segment_bytes=2_000,
            publish_s=0.01,
            reserve_bytes=4096,
            give_up_s=0.05,
            retention_days=retention_days,
        ),
        signer=Signer.load_or_create(root / "data", name=LOG_NAME),
        clock=calendar,
        on_commit=_nobody,
        internal=Own(calendar, seed=f"own-{sitting}-{os.getpid()}"),
    )


def _write(writer: AuditWriter, calendar: Calendar, teller: Teller, names: Sequence[str]) -> None:
    entered = teller.fates
    for number, name in enumerate(names):
        entered += _entered(writer, teller, name, calendar)
        if number % 3 == 2:
            teller.wait(entered)
        if number % 8 == 7:
            calendar.days += 1
            time.sleep(0.02)  # the keeper's turn: in real time, as its work is


def _entered(writer: AuditWriter, teller: Teller, name: str, calendar: Calendar) -> int:
    with contextlib.suppress(AuditUnavailable):
        writer.append_to(teller, draft(name, at_s=calendar.time(), details={"pad": "x" * 150}), name)
        return 1
    return 0


def _nobody(tokens: Sequence[object], error: AuditUnavailable | None) -> None:
    """Fates are told to the teller."""
