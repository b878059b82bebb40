"""What an operator does at the command line stands in the audit log, beside what the gateway did."""

import os
import platform
import pwd
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tristar import __version__
from tristar.audit.access import AuditAccess
from tristar.audit.checkpoint import SLOTS
from tristar.audit.options import WriterOptions
from tristar.audit.reader import Snapshot
from tristar.audit.record import Action, Origin, Scribe
from tristar.audit.signing import KEY_FILE, KeyInvalid, Signer
from tristar.audit.subjects import Keyring
from tristar.cli.endings import Misused
from tristar.clock import Clock, SystemClock
from tristar.settings import Settings
from tristar.settings.model import Audit

_MIB = 1 << 20


class Recorder:
    """Records in this installation's log: through the gateway while it runs, else as the log's writer.

    With `make` the log may be begun by the first record, as `serve` would; without it there must be one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        make: bool = False,
        keyring: Keyring | None = None,
    ) -> None:
        self._settings = settings
        self._make = make
        self.clock = clock or SystemClock()
        self.scribe = cli_scribe(self.clock, keyring)

    async def record(
        self,
        action: Action,
        resource: str,
        details: Mapping[str, object],
        log_level: str = "INFO",
        *,
        subject: str | None = None,
    ) -> None:
        """Return once the record is durable; `subject` is the person whom the details are about.

        Raises:
            Misused: the log belongs to another user.
            AuditUnavailable: it is not in the log.
        """
        directory = self._settings.audit.dir
        refuse_stranger(directory)
        draft = self.scribe.event(
            action, resource, log_level, details, user_id=f"os:{operator()}", subject=subject
        )
        async with self._access(directory) as access:
            await access.append(draft)

    def _access(self, directory: Path) -> AbstractAsyncContextManager[AuditAccess]:
        return AuditAccess(
            directory,
            options=writer_options(self._settings.audit),
            signer=self._signer(),
            clock=self.clock,
            internal=self.scribe.internal,
        )

    def _signer(self) -> Callable[[], Signer]:
        data_dir = self._settings.data_dir
        if self._make and not is_log(self._settings.audit.dir):
            return lambda: Signer.load_or_create(data_dir)
        return lambda: load_signer(data_dir)


def cli_scribe(clock: Clock, keyring: Keyring | None = None) -> Scribe:
    """Makes the records of this command."""
    origin = Origin(platform.node(), f"cli-{os.getpid()}", __version__)
    return Scribe(origin, clock=clock, fingerprint_key=os.urandom(32), keyring=keyring)


def operator() -> str:
    """Who runs the command, as the system knows them; what the environment claims is not asked."""
    return _user_name(os.getuid())


def writer_options(audit: Audit) -> WriterOptions:
    """The audit settings in the writer's units."""
    total_bytes = None if audit.total_size_mb is None else audit.total_size_mb * _MIB
    return WriterOptions(audit.max_size_mb * _MIB, audit.retention_days, total_bytes)


def load_signer(data_dir: Path) -> Signer:
    """The key of a log that there is already.

    Raises:
        KeyInvalid: it is not there, or not a key.
    """
    path = data_dir / KEY_FILE
    try:
        return Signer.load(path)
    except FileNotFoundError:
        raise KeyInvalid(f"{path}: no signing key here: check TRISTAR_DATA_DIR") from None


def is_log(directory: Path) -> bool:
    """Whether there is an audit log, or what is left of one."""
    return (directory / SLOTS).exists() or bool(Snapshot.take(directory).segments)


def existing_log(directory: Path) -> Path:
    """The directory, if there is an audit log in it.

    Raises:
        Misused: there is none; the gateway has not run here, or AUDIT_LOG_DIR is another one.
    """
    if not is_log(directory):
        raise Misused(f"{directory}: no audit log here. Check AUDIT_LOG_DIR and the working directory.")
    return directory


def refuse_stranger(directory: Path) -> None:
    """Refuse to write where another user's gateway does: it could not use the files that would be left.

    Raises:
        Misused: the directory exists and belongs to another user; says whose it is.
    """
    try:
        owner = directory.stat().st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        name = _user_name(owner)
        raise Misused(
            f"{directory} belongs to {name}, and you are {_user_name(os.geteuid())}: run this as {name} "
            "(docs/audit.md has the line for a systemd service). Nothing was read or changed."
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
