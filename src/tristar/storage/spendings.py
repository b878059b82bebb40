"""What has been spent of budgets, kept in the database: it outlives processes and is summed over hosts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, case, select
from sqlalchemy.dialects import postgresql, sqlite

from tristar.storage.engine import Database
from tristar.storage.schema import spendings

Spent = tuple[str, int, int, int, int]
"""Whose, day (since the epoch), millionths of a dollar in it, month (since January of year 0), the same."""


class SpendingBook:
    """Sums per name, of the latest day and month. Every method raises `DatabaseDown` when out of reach."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, month: int) -> Sequence[Spent]:
        """Everything spent in that month."""
        query = select(spendings).where(spendings.c.month == month)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_spent(row) for row in rows]

    async def add(self, owed: Sequence[Spent]) -> Sequence[Spent]:
        """Add these amounts, durably once this returns; the sums that they lead to."""
        dialect = self._database.dialect
        return await self._database.write(lambda connection: _add(connection, dialect, owed))


def _add(connection: Connection, dialect: str, owed: Sequence[Spent]) -> list[Spent]:
    insert = (sqlite if dialect == "sqlite" else postgresql).insert(spendings)
    new, old = insert.excluded, spendings.c
    statement = insert.on_conflict_do_update(
        index_elements=[old.name],
        set_={
            # an amount of a day that is over arrives after the first one of the next: it is not today's
            period: case((old[period] > new[period], old[period]), else_=new[period])
            for period in ("day", "month")
        }
        | {
            sum_: case(
                (old[period] == new[period], old[sum_] + new[sum_]),
                (old[period] > new[period], old[sum_]),
                else_=new[sum_],
            )
            for period, sum_ in (("day", "spent_day"), ("month", "spent_month"))
        },
    )
    names = ("name", "day", "spent_day", "month", "spent_month")
    # in one order for everybody, so that no two hosts wait for each other
    for row in sorted(owed):
        connection.execute(statement, dict(zip(names, row, strict=True)))
    query = select(spendings).where(spendings.c.name.in_([row[0] for row in owed]))
    return [_spent(row) for row in connection.execute(query).all()]


def _spent(row: Any) -> Spent:  # noqa: ANN401 - SQLAlchemy's rows have no static columns
    return row.name, row.day, row.spent_day, row.month, row.spent_month
