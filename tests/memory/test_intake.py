"""New entries that share a transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Connection

from tristar.memory.edits import new_entry
from tristar.memory.entry import Caller, Draft
from tristar.memory.intake import Intake, Worded
from tristar.storage.engine import Database, DatabaseDown

ME = Caller("key_1", "1" * 32)


def worded(content: str) -> Worded:
    """An entry on its way."""
    return Worded(new_entry(Draft(content), "default", ME, 0), [content])


@dataclass
class Disk:
    """Notes what is written together; `faults` are contents that it cannot write, and the error."""

    faults: dict[str, Exception] = field(default_factory=dict)
    together: list[list[str]] = field(default_factory=list)

    def write(self, connection: Connection, several: Sequence[Worded]) -> None:
        """One transaction's share."""
        assert connection.in_transaction()
        contents = [each.entry.content for each in several]
        for content in contents:
            if content in self.faults:
                raise self.faults[content]
        self.together.append(contents)


async def test_entries_that_come_at_once_share_a_transaction(database: Database) -> None:
    """And each caller returns."""
    disk = Disk()
    intake = Intake(database, disk.write)
    names = [f"entry {n}" for n in range(20)]
    await asyncio.gather(*(intake.keep(worded(name)) for name in names))
    await intake.keep(worded("later"))

    assert disk.together == [names, ["later"]]


async def test_an_entry_at_fault_harms_no_other(database: Database) -> None:
    """Its caller alone is told; the others are kept."""
    disk = Disk({"bad": LookupError("not this one")})
    intake = Intake(database, disk.write)
    told = await asyncio.gather(
        *(intake.keep(worded(name)) for name in ("one", "bad", "two")), return_exceptions=True
    )

    assert [type(each) for each in told] == [type(None), LookupError, type(None)]
    assert disk.together == [["one"], ["two"]]


async def test_every_caller_learns_that_the_database_is_down(database: Database) -> None:
    """Nothing was written of any, and what comes later is tried again."""
    disk = Disk({"one": DatabaseDown("gone")})
    intake = Intake(database, disk.write)
    told = await asyncio.gather(
        *(intake.keep(worded(name)) for name in ("one", "two")), return_exceptions=True
    )
    await intake.keep(worded("later"))

    assert [type(each) for each in told] == [DatabaseDown, DatabaseDown]
    assert disk.together == [["later"]]


async def test_an_entry_is_kept_when_its_caller_goes_away(database: Database) -> None:
    """And the others of its transaction return."""
    disk = Disk()
    intake = Intake(database, disk.write)
    gone = asyncio.ensure_future(intake.keep(worded("gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await intake.keep(worded("there"))

    with pytest.raises(asyncio.CancelledError):
        await gone
    assert sorted(content for several in disk.together for content in several) == ["gone", "there"]
