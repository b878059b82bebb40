"""A process that writes to a log until it is killed; run as `python -m tests.audit.crashing ROOT ROUND`.

Every acknowledged event id goes to standard output, one per line, after it was acknowledged.
"""

import itertools
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.audit.bench import Own, draft

from tristar.audit.signing import Signer
from tristar.audit.writer import AuditWriter, WriterOptions
from tristar.clock import SystemClock
from tristar.errors import AuditUnavailable


def _tell(tokens: Sequence[object], error: AuditUnavailable | None) -> None:
    if error is None:
        os.write(1, "".join(f"{token}\n" for token in tokens).encode())
    for token in tokens:
        _waiting[str(token).split("-")[1]].release()


_waiting = {str(lane): threading.Semaphore(20) for lane in range(4)}


def _load(writer: AuditWriter, round_name: str, lane: str) -> None:
    for number in itertools.count():
        _waiting[lane].acquire()
        name = f"{round_name}-{lane}-{number}"
        writer.append(draft(name, details={"pad": "x" * 500}), name)


def main() -> None:
    """Write until killed."""
    root, round_name, clock = Path(sys.argv[1]), sys.argv[2], SystemClock()
    writer = AuditWriter.open(
        root / "audit",
        options=WriterOptions(max_segment_bytes=200_000, publish_s=0.05, retention_days=36_500),
        signer=Signer.load_or_create(root / "data"),
        clock=clock,
        on_commit=_tell,
        internal=Own(clock, seed=f"own-{round_name}"),
    )
    for lane in _waiting:
        threading.Thread(target=_load, args=(writer, round_name, lane), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
