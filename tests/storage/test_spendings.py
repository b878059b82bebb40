"""Sums of what was spent, in either database."""

import asyncio

from tests.storage.fixtures import MakeDatabase

from tristar.storage.engine import Database
from tristar.storage.spendings import SpendingBook


async def test_amounts_are_added_within_their_day_and_month(database: Database) -> None:
    """A new day begins at nothing, a month goes on; what comes late for yesterday is not today's."""
    book = SpendingBook(database)
    await book.add([("key:a", 10, 5, 1, 5), ("key:b", 10, 1, 1, 1)])
    await book.add([("key:a", 10, 7, 1, 7)])
    tomorrow = await book.add([("key:a", 11, 2, 1, 2)])
    late = await book.add([("key:a", 10, 4, 1, 4)])
    later = await book.add([("key:a", 40, 3, 2, 3)])

    assert tomorrow == [("key:a", 11, 2, 1, 14)]
    assert late == [("key:a", 11, 2, 1, 18)]
    assert later == [("key:a", 40, 3, 2, 3)]
    assert list(await book.read(1)) == [("key:b", 10, 1, 1, 1)]


async def test_hosts_that_add_at_once_lose_nothing(make_database: MakeDatabase) -> None:
    """Eight of them, ten times each, two keys."""
    books = [SpendingBook(make_database()) for _ in range(8)]
    rows = [("key:b", 10, 1, 1, 1), ("key:a", 10, 2, 1, 2)]
    for _ in range(10):
        await asyncio.gather(*(book.add(rows) for book in books))

    assert sorted(await books[0].read(1)) == [("key:a", 10, 160, 1, 160), ("key:b", 10, 80, 1, 80)]
