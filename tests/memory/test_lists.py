"""Many values at once, to the database and back: what is joined there comes apart here as it was."""

from collections.abc import Sequence

import pytest
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, delete, insert, select

from tristar.memory.postgres import Arrays
from tristar.memory.sqlite import JsonLists
from tristar.memory.statements import Lists
from tristar.storage.engine import Database

KEPT = Table("kept", MetaData(), Column("n", Integer), Column("bytes", LargeBinary))
EVERY_BYTE = bytes(range(256))
HOSTILE = [
    b"\0\0\0\0",
    b"a\0b\0",
    b"\xff\xfe\xfd\xfc",
    "ü€".encode()[:4],
    EVERY_BYTE,
    EVERY_BYTE[::-1],
    b"\0",
    b"'",
]


@pytest.fixture
def lists(database: Database) -> Lists:
    """Those of the database's engine."""
    return Arrays() if database.dialect == "postgresql" else JsonLists()


async def gathered(
    database: Database, lists: Lists, values: Sequence[bytes]
) -> tuple[Sequence[int] | None, bytes | None]:
    """What comes back of these, each with its number."""

    def work(connection: Connection) -> tuple[Sequence[int] | None, bytes | None]:
        KEPT.create(connection, checkfirst=True)
        connection.execute(delete(KEPT))
        for number, value in enumerate(values):
            connection.execute(insert(KEPT).values(n=number, bytes=value))
        some = select(KEPT).where(KEPT.c.n.in_(select(lists.each("numbers"))))
        told = {"numbers": lists.given(list(range(len(values))))}
        numbers, joined = connection.execute(lists.gathered(some), told).one()
        return numbers, joined

    return await database.write(work)


async def test_bytes_of_any_kind_are_joined_as_they_are(database: Database, lists: Lists) -> None:
    """No byte is taken for the end of a text, or for a letter."""
    numbers, joined = await gathered(database, lists, HOSTILE)

    assert joined == b"".join(HOSTILE[number] for number in numbers or ())
    assert sorted(numbers or ()) == list(range(len(HOSTILE)))


async def test_of_nothing_nothing_is_gathered(database: Database, lists: Lists) -> None:
    """Empty or None, never an error."""
    numbers, joined = await gathered(database, lists, [])

    assert not numbers
    assert not joined
