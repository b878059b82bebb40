"""An export as Parquet, made by a clerk: DuckDB's memory is not that of the program that exports."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from tristar.audit.bureau import environment
from tristar.audit.clerk import Export
from tristar.audit.export import Tally
from tristar.audit.reader import Position, Span
from tristar.errors import AuditCorrupt

_PIECE_BYTES = 1 << 20


def export_columns(directory: Path, within: Span, tally: Tally) -> Iterator[bytes]:
    """The file, piece by piece; the tally is right when the last has been given.

    Raises:
        AuditCorrupt: a line of the log is no record.
        OSError: the clerk could not work.
    """
    task = Export(str(directory.absolute()), "parquet", "none", _text(within.since), _text(within.until))
    with subprocess.Popen(
        [sys.executable, "-m", "tristar.audit.clerk"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as clerk:
        assert clerk.stdin is not None  # noqa: S101 - asked for above
        assert clerk.stdout is not None  # noqa: S101 - the same
        assert clerk.stderr is not None  # noqa: S101 - the same
        reports = _Reports(clerk.stderr, tally)
        try:
            with clerk.stdin:
                clerk.stdin.write(msgspec.json.encode(task))
            while piece := clerk.stdout.read(_PIECE_BYTES):
                yield piece
            reports.join()
        finally:
            clerk.kill()  # of no effect where it has ended
    reports.settle()


class _Reports(threading.Thread):
    """Hears what the clerk says while it works."""

    def __init__(self, said: IO[bytes], tally: Tally) -> None:
        super().__init__(name="audit-reports", daemon=True)
        self._said = said
        self._tally = tally
        self._last: dict[str, Any] = {}
        self.start()

    def run(self) -> None:
        for line in self._said:
            try:
                self._last = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                self._last = {"error": "system", "message": line.decode(errors="replace").strip()}
            if "progress" in self._last:
                self._tally.tell(self._last["progress"][0])

    def settle(self) -> None:
        """Take over what was exported. Raises what kept it from being."""
        done = self._last.get("done")
        if done is None:
            message = str(self._last.get("message") or "the process that makes Parquet was ended")
            raise AuditCorrupt(message) if self._last.get("error") == "corrupt" else OSError(message)
        self._tally.count = done["count"]
        self._tally.first = msgspec.convert(done["first"], Position | None)
        self._tally.last = msgspec.convert(done["last"], Position | None)


def _text(stamp: bytes | None) -> str | None:
    return None if stamp is None else stamp.decode()
