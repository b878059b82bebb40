"""From the settings to an open `Database`."""

import importlib
from pathlib import Path

from tristar.errors import Fault, SettingsInvalid
from tristar.storage.engine import Database, Engine
from tristar.storage.sqlite import SqliteEngine, private_file


def open_engine(database_url: str | None, data_dir: Path) -> Database:
    """The database at `database_url` (`postgresql://…`), or SQLite under `data_dir` if that is None.

    Connects to nothing yet. For SQLite makes `data_dir` (0700) if it is missing, and the file (0600).

    Raises:
        SettingsInvalid: the URL or the directory cannot be used; it says why and what to do.
    """
    if database_url is None:
        return Database(SqliteEngine(private_file(data_dir)))
    scheme, separator, _ = database_url.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise _unusable("does not begin with postgresql://", "Correct it, or unset it to use SQLite")
    return Database(_postgres(database_url))


def _postgres(url: str) -> Engine:
    try:
        module = importlib.import_module("tristar.storage.postgres")
    except ModuleNotFoundError as error:
        raise _unusable("its driver is not installed", "pip install 'tristar[postgres]'") from error
    engine: Engine = module.PostgresEngine(url)
    return engine


def _unusable(problem: str, fix: str) -> SettingsInvalid:
    # The value is not shown: it may hold a password.
    return SettingsInvalid([Fault("DATABASE_URL", "", problem, fix)])
