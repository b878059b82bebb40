"""Who may write: an advisory lock that dies with its holder."""

import fcntl
import os
import weakref
from pathlib import Path

from tristar.audit.options import WriterBusy

WRITER_LOCK = "writer.lock"
HANDOVER_LOCK = "handover.lock"


class DirectoryLock:
    """An exclusive `flock` on a file, held by this object until `release` or the end of the process.

    A forked child does not hold it: its copy of the descriptor is closed, so that the lock does not outlive
    the parent in a child.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._close()
            raise WriterBusy(f"{path.parent}: another process writes this audit log") from error
        forget = weakref.WeakMethod(self._close)
        os.register_at_fork(after_in_child=lambda: (close := forget()) and close())

    def release(self) -> None:
        """Let others have it."""
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock at this moment; the file need not exist."""
    try:
        DirectoryLock(path).release()
    except WriterBusy:
        return True
    return False
