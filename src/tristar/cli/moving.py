"""Keys and memory moved to another database, for `tristar storage`; loaded by its command alone."""

from collections.abc import Mapping

from tristar.audit.lock import WRITER_LOCK, is_held
from tristar.cli.endings import Misused
from tristar.cli.progress import row_progress
from tristar.memory.postgres import index_row
from tristar.settings import Settings
from tristar.storage.opening import open_engine
from tristar.storage.sqlite import FILE_NAME
from tristar.storage.transfer import transfer


async def move(settings: Settings, to: str) -> Mapping[str, int]:
    """Copy the SQLite database of these settings to the empty one at `to`; rows by table.

    Raises:
        Misused: there is nothing to move, the gateway is running, or `to` is no PostgreSQL.
        NotEmpty, Incomplete, DatabaseDown, SettingsInvalid: see `storage.transfer`.
    """
    file = settings.data_dir / FILE_NAME
    if not file.exists():
        raise Misused(f"{file}: nothing to move here. Check TRISTAR_DATA_DIR and the working directory.")
    lock = settings.audit.dir / WRITER_LOCK
    if lock.exists() and is_held(lock):
        raise Misused("The gateway is running, and what it writes meanwhile would be lost: stop it first.")
    target = open_engine(to, settings.data_dir)
    source = open_engine(None, settings.data_dir)
    try:
        await source.start()  # the file's schema is brought up to date
        with row_progress("moving") as progress:
            return await transfer(file.absolute(), target, {"memory_entries": index_row}, progress)
    finally:
        await source.close()
        await target.close()
