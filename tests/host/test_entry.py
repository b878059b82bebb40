"""Requests whose records cannot be made, by a defect of ours, beside those whose can."""

import asyncio
from pathlib import Path

import pytest
from tests.host.test_hub import Desk

from tristar.audit.draft import Draft
from tristar.audit.record import Origin, Scribe
from tristar.errors import NoRecord, RecordFailed
from tristar.exchange import Exchange
from tristar.host.entry import HostLedger
from tristar.host.local import HubWay
from tristar.host.slots import SlotReader, SlotTable


class Clumsy(Scribe):
    """Makes no record of a request to `/broken`."""

    def from_exchange(self, exchange: Exchange) -> Draft:
        """See `Scribe.from_exchange`."""
        if exchange.resource == "/broken":
            raise ZeroDivisionError("a defect")
        return super().from_exchange(exchange)


class Office:
    """A desk, and the ledger of its own process."""

    def __init__(self, folder: Path, *, strict: bool) -> None:
        self.desk = Desk(strict=strict)
        self.path = folder / "1-ab.slots"
        self.slots = SlotTable(self.path)
        clock = self.desk.clock
        scribe = Clumsy(Origin("h", "w", "0"), clock=clock, fingerprint_key=b"k")
        loop = asyncio.get_running_loop()
        self.ledger = HostLedger(HubWay(self.desk.hub), scribe, self.slots, loop, clock, strict=strict)

    def close(self, resource: str) -> "asyncio.Task[None]":
        """The end of a request to this path."""
        exchange = Exchange(
            method="POST", resource=resource, endpoint=resource, started=0.0, started_at=0.0, audited=True
        )
        self.ledger.begin(exchange)
        return asyncio.create_task(self.ledger.close(exchange, 200, "success"))

    def kept(self) -> list[str]:
        """The paths of requests that the next start would record, once this process has ended."""
        self.desk.hub.close()
        self.slots.close()
        if not self.path.exists():
            return []
        reader = SlotReader(self.path)
        left = [begun.resource for _, begun in reader.unrecorded()]
        reader.close()
        return left


@pytest.mark.parametrize("order", [("/broken", "/good", "/good"), ("/good", "/broken", "/good")])
async def test_a_record_that_cannot_be_made_costs_its_own_request_alone(
    tmp_path: Path, order: tuple[str, ...]
) -> None:
    """Strict: it is told of at once, with what to do; the others of that turn are recorded and counted."""
    office = Office(tmp_path, strict=True)
    closing = [office.close(resource) for resource in order]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await office.desk.commit()
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*closing, return_exceptions=True)

    failed = ends[order.index("/broken")]
    assert isinstance(failed, RecordFailed)
    assert (failed.status, failed.code) == (500, "internal_error")
    assert "Report it" in str(failed)
    assert "defect" not in str(failed)
    assert [end for end in ends if end is not failed] == [None, None]
    assert len(office.desk.writer.queue) == 0
    assert office.kept() == ["/broken"]


async def test_a_record_that_cannot_be_made_in_relaxed_mode_is_an_orphan_of_the_next_start(
    tmp_path: Path,
) -> None:
    """The client has its answer already; the books follow when the process has gone."""
    office = Office(tmp_path, strict=False)
    await asyncio.gather(office.close("/broken"), office.close("/good"))
    await asyncio.sleep(0)
    await office.desk.commit()

    assert office.kept() == ["/broken"]


async def test_nothing_stays_of_a_process_that_recorded_all(tmp_path: Path) -> None:
    """Its table goes with it."""
    office = Office(tmp_path, strict=False)
    await office.close("/good")
    await asyncio.sleep(0)
    await office.desk.commit()

    assert office.kept() == []
    assert not office.path.exists()


async def test_a_defect_of_counting_costs_nobody_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is durable: so the answer leaves."""
    office = Office(tmp_path, strict=True)

    def fail(_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(office.desk.books, "count", fail)
    closing = office.close("/good")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await office.desk.commit()
    async with asyncio.timeout(5):
        await closing
    assert office.kept() == []


def test_it_is_refused_as_what_has_no_record() -> None:
    """Whoever handles a lost record handles this one, too."""
    assert issubclass(RecordFailed, NoRecord)
