"""Everything that a SQLite file holds, moved to another database in one transaction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, create_engine, func, select, text

from tristar.errors import Conflict
from tristar.storage.engine import Database
from tristar.storage.schema import metadata

BATCH_ROWS = 500

Companion = Callable[[Connection, Row[Any]], None]
"""Makes in the new database what belongs to a row there and is kept in no common table."""
Progress = Callable[[int, int], None]
"""Told how many rows are there, and how many there will be."""


class NotEmpty(Conflict):
    """The database to move to holds something already; nothing was written.

    Operator action: name an empty database, or empty that one.
    """


class Incomplete(Conflict):
    """Fewer or more rows arrived than were sent; everything was undone."""


async def transfer(
    file: Path, target: Database, companions: Mapping[str, Companion], progress: Progress
) -> Mapping[str, int]:
    """Copy every table of the SQLite `file`, which is at this version's schema, to the empty `target`.

    One snapshot of the file becomes one transaction there: all of it arrives, counted on both
    sides, or nothing. Returns the number of rows by table. The file is not changed.

    Raises:
        NotEmpty: keys, entries or anything else are there already.
        Incomplete: the counts differ.
        DatabaseDown: the target cannot be reached.
    """
    await target.start()

    def work(there: Connection) -> Mapping[str, int]:
        _check_empty(there)
        with _snapshot(file) as here:
            counts = {table.name: _count(here, table) for table in metadata.sorted_tables}
            moved = 0
            for table in metadata.sorted_tables:
                there.execute(table.delete())
                for done in _copy(here, there, table, companions.get(table.name)):
                    moved += done
                    progress(moved, sum(counts.values()))
        for table in metadata.sorted_tables:
            _count_on(there, table)
            if _count(there, table) != counts[table.name]:
                raise Incomplete(
                    f"{table.name}: {counts[table.name]} rows were sent, another number arrived."
                )
        if there.dialect.name == "postgresql":
            # Without statistics a search takes several times as long, until autovacuum comes.
            there.exec_driver_sql("ANALYZE")
        return counts

    return await target.write(work)


@contextmanager
def _snapshot(file: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{file}", hide_parameters=True)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


def _check_empty(there: Connection) -> None:
    for table in metadata.sorted_tables:
        # a new database has the one row of each of its revisions, at 0
        found = _count(there, table)
        if table.name in {"key_revision", "memory_revision"}:
            found = there.execute(select(table.c.value)).scalar() or 0
        if found:
            raise NotEmpty(f"The database to move to is not empty: its table {table.name} has rows.")


def _copy(here: Connection, there: Connection, table: Table, companion: Companion | None) -> Iterator[int]:
    rows = here.execution_options(yield_per=BATCH_ROWS).execute(select(table).order_by(*table.primary_key))
    names = [column.name for column in table.columns]
    for batch in rows.partitions():
        there.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in batch])
        if companion is not None:
            for row in batch:
                companion(there, row)
        yield len(batch)


def _count(connection: Connection, table: Table) -> int:
    counted: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return counted


def _count_on(there: Connection, table: Table) -> None:
    """Let a counting column go on after the highest number that was copied."""
    column = table.autoincrement_column
    if there.dialect.name != "postgresql" or column is None:
        return
    sequence = there.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
    ).scalar()
    highest = there.execute(select(func.max(column))).scalar()
    if sequence is not None and highest is not None:
        there.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})
