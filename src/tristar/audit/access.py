"""The log for any process that only imports the library, and for a gateway that takes it over from one."""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tristar.audit.delegate import Delegate, Terms
from tristar.audit.draft import Draft
from tristar.audit.lock import HANDOVER_LOCK, WRITER_LOCK, DirectoryLock, is_held
from tristar.audit.options import WriterBusy, WriterOptions
from tristar.audit.signing import Signer
from tristar.audit.wire import FrameInvalid, Inbox, Refused, Yield, connect, frame
from tristar.clock import Clock


class AuditAccess:
    """Appends from any thread and any event loop; writes itself when nobody else does, else sends to who
    does.

    Making one touches nothing. The first `append` takes the directory's lock or connects to its holder. When
    the holder dies, another process takes over and what had no answer is sent again; it is in the log once.
    Forked children begin anew.
    """

    def __init__(
        self,
        directory: Path,
        *,
        options: WriterOptions,
        signer: Callable[[], Signer],
        clock: Clock,
        internal: Callable[[str, str, Mapping[str, object]], Draft],
        timeout_s: float = 5.0,
    ) -> None:
        self._terms = Terms(directory, options, signer, clock, internal, timeout_s)
        self._starting = threading.Lock()
        self._delegate: tuple[int, Delegate] | None = None

    async def append(self, draft: Draft) -> int:
        """Return the record's sequence number once it is durable.

        Raises:
            AuditUnavailable: it was not made durable within `timeout_s`. It is not in the log, unless the
            message
                says that it may be: then the writer died at the wrong moment.
        """
        return await asyncio.wrap_future(self._started().submit(draft))

    def _started(self) -> Delegate:
        current = self._delegate
        if current is not None and current[0] == os.getpid():
            return current[1]
        with self._starting:
            if self._delegate is None or self._delegate[0] != os.getpid():
                delegate = Delegate(self._terms)
                weakref.finalize(self, delegate.stop)  # also when the interpreter ends
                self._delegate = (os.getpid(), delegate)
            return self._delegate[1]

    async def aclose(self) -> None:
        """Finish what was accepted, release the directory; the next append starts anew."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """As `aclose`, for callers without an event loop."""
        with self._starting:
            current, self._delegate = self._delegate, None
        if current is not None and current[0] == os.getpid():
            current[1].stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@contextmanager
def handover(directory: Path, *, timeout_s: float = 5.0) -> Iterator[None]:
    """Within this block no library process takes the log; one that writes it is asked to let it go.

    For a gateway that starts: open the `AuditWriter` inside the block. Blocks for up to `timeout_s`.

    Raises:
        WriterBusy: a gateway writes the log and stays, another one is starting, or the holder did not let go.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    claim = DirectoryLock(directory / HANDOVER_LOCK)
    try:
        until_s = time.monotonic() + timeout_s
        while is_held(directory / WRITER_LOCK):
            if time.monotonic() > until_s:
                raise WriterBusy(f"{directory}: the process that writes this audit log did not let go of it")
            _ask(directory, until_s)
        yield
    finally:
        claim.release()


def _ask(directory: Path, until_s: float) -> None:
    """Ask once, and wait for the answer: the end of the connection, or a refusal. Raises WriterBusy."""
    try:
        with connect(directory, timeout_s=max(0.1, until_s - time.monotonic())) as peer:
            peer.sendall(frame(Yield()))
            inbox = Inbox()
            while data := peer.recv(1 << 16):
                for answer in inbox.answers(data):
                    if isinstance(answer, Refused):
                        raise WriterBusy(f"{directory}: {answer.reason}")
    except (OSError, FrameInvalid):
        time.sleep(0.02)  # it is not listening yet, or no longer
