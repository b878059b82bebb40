"""The schema's revision: read cheaply at every start, moved by Alembic only when it must."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from tristar.errors import Fault, SettingsInvalid
from tristar.storage.schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"

# Any number will do that nobody else uses in this database; all replicas must agree on it.
_UPGRADE_LOCK = 7_487_923_001


def read(connection: Connection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def upgrade(connection: Connection) -> None:
    """Bring the schema to `HEAD` inside the caller's transaction, all or nothing.

    Of many processes that call this at once, one does the work and the others wait for it.

    Raises:
        SettingsInvalid: the database is at a revision that this version does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
    current = read(connection)
    if current == HEAD:
        return
    if current is not None and current not in known():
        raise SettingsInvalid(
            [
                Fault(
                    "DATABASE_URL / TRISTAR_DATA_DIR",
                    "",
                    f"the database is at schema revision {current}, made by a newer tristar",
                    f"Start that version, or restore a backup; this one works with {HEAD}",
                )
            ]
        )
    _command("upgrade", connection, HEAD)


def downgrade(connection: Connection, to: str) -> None:
    """Take the schema back to revision `to` (`base`: empty), data of newer tables included.

    Inside the caller's transaction, all or nothing.
    """
    _command("downgrade", connection, to)


def known() -> frozenset[str]:
    """Every revision that this version has a migration for."""
    directory = importlib.import_module("alembic.script").ScriptDirectory(str(MIGRATIONS))
    return frozenset(script.revision for script in directory.walk_revisions())


def _command(name: str, connection: Connection, revision: str) -> None:
    # Alembic is loaded here alone: a start on an up-to-date database does without its 0.1 s.
    config: Config = importlib.import_module("alembic.config").Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    getattr(importlib.import_module("alembic.command"), name)(config, revision)
