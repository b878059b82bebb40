"""What the last verification of the audit log found, over restarts."""

import os
import secrets
from pathlib import Path
from typing import Final

import structlog

FILE: Final = "audit-verdict"
_WORDS: Final = {b"ok\n": True, b"faulty\n": False}

_log = structlog.get_logger("tristar")


class Verdict:
    """Kept in a file of the data directory: no restart ends the alert on a log that is at fault."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self.ok = self._read()
        """None before the first verification."""

    def note(self, *, ok: bool) -> None:
        """Take the result of a verification. Blocks for a write; call it in a thread.

        Where it cannot be written it holds until the process ends, and the operator's log says so.
        """
        self.ok = ok
        temporary = self._path.with_name(f".{FILE}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"ok\n" if ok else b"faulty\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            _log.error(
                "the result of a verification is lost at the next restart", reason=error.strerror, ok=ok
            )

    def _read(self) -> bool | None:
        try:
            return _WORDS.get(self._path.read_bytes())
        except OSError:
            return None
