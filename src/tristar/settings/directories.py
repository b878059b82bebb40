"""Whether the directories of the configuration can be written, asked before anything is started."""

import os
from pathlib import Path

from tristar.settings.faults import Faults
from tristar.settings.model import Settings


def check_directories(settings: Settings) -> None:
    """Refuse directories that this process could neither use nor make. Makes none.

    Raises:
        SettingsInvalid: with a fault for each of them.
    """
    faults = Faults()
    for key, path in (("AUDIT_LOG_DIR", settings.audit.dir), ("TRISTAR_DATA_DIR", settings.data_dir)):
        reason = _obstacle(path)
        if reason:
            faults.add(key, str(path), reason, f"Make it writable for this user, or set {key} elsewhere.")
    faults.check()


def _obstacle(path: Path) -> str | None:
    try:
        present = next(each for each in (path, *path.parents) if each.exists())
        is_directory = present.is_dir()
    except OSError as error:
        return f"cannot be reached: {error.strerror}"
    if not is_directory:
        return f"cannot be a directory: {present} is a file"
    return (
        None if os.access(present, os.W_OK | os.X_OK) else f"cannot be written: {present} is read-only here"
    )
