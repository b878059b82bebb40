"""Record and count go together: in strict and relaxed mode, through failures and the deadline."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, cast

import pytest

from tristar.audit.draft import Draft
from tristar.audit.options import WriterHealth
from tristar.audit.record import Origin, Scribe
from tristar.audit.writer import AuditWriter
from tristar.clock import ManualClock
from tristar.errors import AuditUnavailable, NoRecord
from tristar.exchange import Account
from tristar.host.hub import TICK_S, Hub
from tristar.metrics.books import Books
from tristar.routing.catalog import Catalog, Llm, Provider

CATALOG = Catalog([Llm("fast", Provider("p", "openai", "http://x"), "m")])


class FakeWriter:
    """A writer whose disk the test controls."""

    def __init__(self) -> None:
        self.queue: list[tuple[Draft, object]] = []
        self.full = False
        self.under_way: set[int] = set()
        self.reason = ""

    def append(self, draft: Draft, token: object = None) -> None:
        """See `AuditWriter`."""
        if self.full:
            raise AuditUnavailable("the queue is full")
        self.queue.append((draft, token))

    def withdraw(self, tokens: Sequence[object]) -> set[object]:
        """See `AuditWriter`."""
        taken = {token for token in tokens if id(token) not in self.under_way}
        self.queue = [(draft, token) for draft, token in self.queue if token not in taken]
        return taken

    def health(self) -> WriterHealth:
        """See `AuditWriter`."""
        return WriterHealth(not self.reason, self.reason, len(self.queue), 0, 0.0)

    def close(self) -> None:
        """See `AuditWriter`."""


class Desk:
    """A hub, its fake writer, its clock."""

    def __init__(self, *, strict: bool) -> None:
        self.clock = ManualClock()
        self.books = Books(clock=self.clock, version="0", models=[("m", "p")])
        self.writer = FakeWriter()
        self.fates: list[bool] = []
        self.hub = Hub(
            loop=asyncio.get_running_loop(),
            clock=self.clock,
            scribe=Scribe(Origin("h", "w", "0"), clock=self.clock, fingerprint_key=b"k"),
            books=self.books,
            catalog=CATALOG,
            strict=strict,
            deadline_s=2.0,
        )
        self.hub.attach(cast("AuditWriter", self.writer))

    def enter(self) -> None:
        """One request that was answered with 200."""
        draft = Draft(b'{"seq":', b"}", "e")
        self.hub.enter(
            draft, Account("/v1/chat", "POST", 200, 0.1, "request", streamed=False), self.fates.append
        )

    async def commit(self, error: AuditUnavailable | None = None) -> None:
        """Everything queued is durable, or is not."""
        queue, self.writer.queue = self.writer.queue, []
        self.hub.on_commit([token for _, token in queue], error)
        await asyncio.sleep(0)

    async def tick(self, times: int = 1) -> None:
        """The hub's own timer fires."""
        for _ in range(times):
            await asyncio.sleep(TICK_S * 1.2)

    def counted(self, name: str = "ailinux_request_count", **labels: str) -> float:
        """A metric's value."""
        body, _ = self.books.render(None)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in body.decode().splitlines()
            if re.match(rf"{name}[ {{]", line) and all(label in line for label in wanted)
        )


class Open(Protocol):
    """Opens a desk in one of the two modes."""

    def __call__(self, *, strict: bool) -> Desk:
        """The desk; it is closed after the test."""
        ...


@pytest.fixture
async def desks() -> AsyncIterator[Open]:
    """Makes desks and closes their hubs."""
    made: list[Desk] = []

    def make(*, strict: bool) -> Desk:
        made.append(Desk(strict=strict))
        return made[-1]

    yield make
    for desk in made:
        desk.hub.close()


async def test_strict_counts_when_the_record_is_durable(desks: Open) -> None:
    """Not before: what is counted is recorded."""
    desk = desks(strict=True)
    desk.enter()
    assert desk.fates == []
    assert desk.counted() == 0

    await desk.commit()

    assert desk.fates == [True]
    assert desk.counted(status="200") == 1


async def test_the_time_the_caller_waited_for_the_disk_is_in_the_latency(
    desks: Open,
) -> None:
    """The clock stops when the answer may leave."""
    desk = desks(strict=True)
    desk.enter()
    desk.clock.advance(0.4)
    await desk.commit()

    assert desk.counted("ailinux_request_latency_seconds_sum") == pytest.approx(0.5)


@pytest.mark.parametrize("full", [True, False])
async def test_strict_counts_a_lost_record_as_503_and_as_lost(desks: Open, full: bool) -> None:
    """Requests = records + lost, whether the queue is full or the disk fails."""
    desk = desks(strict=True)
    desk.writer.full = full
    desk.enter()
    await desk.commit(AuditUnavailable("disk full"))

    assert desk.fates == [False]
    assert desk.counted(status="503") == 1
    assert desk.counted(status="200") == 0
    assert desk.counted("ailinux_audit_lost_total") == 1
    with pytest.raises(NoRecord):
        desk.hub.check()


async def test_nobody_waits_longer_than_the_deadline(desks: Open) -> None:
    """After 2 s the record is taken back, the client refused, the request counted once."""
    desk = desks(strict=True)
    desk.enter()
    desk.clock.advance(2.1)
    await desk.tick()

    assert desk.fates == [False]
    assert desk.counted(status="503") == 1
    assert desk.counted("ailinux_audit_lost_total") == 1


async def test_a_record_that_comes_after_the_deadline_is_not_lost(desks: Open) -> None:
    """It was in a write under way: the client was refused, the record is there, nothing counts twice."""
    desk = desks(strict=True)
    desk.enter()
    desk.writer.under_way = {id(token) for _, token in desk.writer.queue}
    desk.clock.advance(2.1)
    await desk.tick()
    assert desk.fates == [False]

    await desk.commit()

    assert desk.fates == [False]
    assert desk.counted() == 1
    assert desk.counted("ailinux_audit_lost_total") == 0


async def test_relaxed_counts_at_once_and_what_is_lost_apart(desks: Open) -> None:
    """Requests = records + lost here too, and the client has its answer."""
    desk = desks(strict=False)
    desk.enter()
    desk.enter()
    assert desk.counted(status="200") == 2

    await desk.commit(AuditUnavailable("disk full"))

    assert desk.counted(status="200") == 2
    assert desk.counted("ailinux_audit_lost_total") == 2
    desk.hub.check()


async def test_what_was_lost_is_said_in_the_log_once_it_can_be_written(desks: Open) -> None:
    """One `audit_gap` with the count; its success makes the log well again."""
    desk = desks(strict=True)
    desk.enter()
    desk.enter()
    await desk.commit(AuditUnavailable("disk full"))
    await desk.tick()
    gaps = [draft for draft, _ in desk.writer.queue]
    assert [b'"action":"audit_gap"' in gap.head for gap in gaps] == [True]
    assert b'"count":2,"requests":2' in gaps[0].tail

    await desk.commit()
    await desk.tick()

    desk.hub.check()
    assert desk.writer.queue == []


async def test_a_writer_that_is_unwell_stops_requests_before_they_cost_anything(
    desks: Open,
) -> None:
    """Strict mode asks the log's health before the upstream; it resumes by itself."""
    desk = desks(strict=True)
    desk.writer.reason = "no space left"
    await desk.tick()
    with pytest.raises(NoRecord, match="no space left"):
        desk.hub.check()
    desk.writer.reason = ""

    await desk.tick()

    desk.hub.check()


async def test_a_breakers_transition_is_counted_and_recorded(desks: Open) -> None:
    """From the one place where the state changes."""
    desk = desks(strict=True)
    told: list[str] = []
    desk.hub.watch_breakers(lambda llm_id: told.append(f"{llm_id} {desk.hub.board.states()[llm_id].name}"))
    for _ in range(5):
        desk.hub.board.failed("fast", 1, None)
    await desk.commit()

    assert told == ["fast OPEN"]
    assert desk.counted("ailinux_circuit_breaker_transitions_total", llm_id="fast", to="open") == 1
