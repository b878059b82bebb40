"""One sink at work: at least once, in order, whatever the receiver, the cursor or the log do."""

import errno
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.bench import FaultyDisk
from tests.audit.sinks.rig import OPTIONS, NoJitter, Obedient, Rig, open_rig, wait

from tristar.audit.sinks.cursor import Cursor, CursorFile
from tristar.audit.sinks.pump import Pump
from tristar.audit.sinks.receiver import Entry, SinkDown, SinkRefused
from tristar.audit.sinks.spool import Spool


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A log that grows."""
    with open_rig(tmp_path) as rig:
        yield rig


def _in_order_without_gaps(seqs: Sequence[int], count: int) -> bool:
    """Whether every number came, and none before an earlier one had come."""
    reached = 0
    for seq in seqs:
        if seq > reached:
            return False
        reached = max(reached, seq + 1)
    return reached == count


def test_everything_arrives_once_in_order_and_the_cursor_says_so(rig: Rig) -> None:
    """Over rotations, while records are still being written."""
    receiver = Obedient()
    with rig.pumping(receiver) as pump:
        for turn in range(4):
            rig.append(100, prefix=f"t{turn}-")
        assert wait(rig.delivered)
    reading = pump.reading()

    assert receiver.seqs == list(range(len(receiver.seqs)))
    assert reading.lag_records == 0
    assert reading.delivered == len(receiver.seqs)
    assert rig.cursor().event_id == receiver.got[-1].event_id
    assert max(len(batch) for batch in receiver.batches) <= 50
    assert receiver.closed == 1


def test_the_next_run_goes_on_where_the_last_one_ended(rig: Rig) -> None:
    """A restart repeats nothing that was acknowledged."""
    receiver = Obedient()
    rig.append(70)
    rig.deliver_all(receiver)
    rig.append(70, prefix="later")
    rig.deliver_all(receiver)

    assert receiver.seqs == list(range(rig.writer.size))


def test_the_cursor_moves_only_after_the_acknowledgement(rig: Rig) -> None:
    """While a delivery is under way, and after one that failed, the cursor stands where it stood."""
    seen: list[int] = []

    def watch(batch: Sequence[Entry]) -> int:
        found = CursorFile(rig.directory, "siem").load()
        seen.append(0 if found is None else max(found.next, 0))
        if len(seen) in {2, 3}:
            raise SinkDown("not now")
        return 0

    receiver = Obedient(watch)
    rig.append(120)
    rig.deliver_all(receiver)

    assert seen[:5] == [0, 50, 50, 50, 100]
    assert _in_order_without_gaps(receiver.seqs, rig.writer.size)


def test_what_was_acknowledged_of_a_failed_batch_is_not_sent_again(rig: Rig) -> None:
    """The cursor moves over the part that the receiver has."""
    failures = iter([SinkDown("busy", acknowledged=20), SinkDown("busy")])

    def rule(batch: Sequence[Entry]) -> int:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return 0

    receiver = Obedient(rule)
    rig.append(50)
    rig.deliver_all(receiver)

    assert receiver.seqs == list(range(rig.writer.size))
    assert [batch[0] for batch in receiver.batches[:3]] == [0, 20, 20]


def test_a_sink_is_degraded_after_three_failures_and_well_after_one_success(rig: Rig) -> None:
    """Told once each; what it says has no end of line and is bounded."""
    down = threading.Event()
    down.set()

    def rule(batch: Sequence[Entry]) -> int:
        if down.is_set():
            raise SinkDown("refused to connect " * 100)
        return 0

    rig.append(10)
    with rig.pumping(Obedient(rule)) as pump:
        assert wait(lambda: pump.reading().failures >= 5)
        degraded = pump.reading()
        down.clear()
        assert wait(rig.delivered)
    well = pump.reading()

    assert degraded.reason.startswith("refused to connect")
    assert degraded.lag_records == 10
    assert well.reason == ""
    assert [(name, bool(reason)) for name, reason in rig.told] == [("siem", True), ("siem", False)]
    assert len(rig.told[0][1]) <= 300


def test_an_unexpected_error_ends_no_sink(rig: Rig) -> None:
    """Whatever a receiver's library raises, the records are tried again."""
    faults = iter([RuntimeError("odd"), ValueError("odder")])

    def rule(batch: Sequence[Entry]) -> int:
        fault = next(faults, None)
        if fault is not None:
            raise fault
        return 0

    receiver = Obedient(rule)
    rig.append(10)
    rig.deliver_all(receiver)

    assert receiver.seqs == list(range(10))


def _refusing(*bad: int) -> Obedient:
    def rule(batch: Sequence[Entry]) -> int:
        if any(entry.seq in bad for entry in batch):
            raise SinkRefused("mapping")
        return 0

    return Obedient(rule)


def test_a_record_that_the_receiver_refuses_is_found_and_given_up_alone(rig: Rig) -> None:
    """Its batch is halved down to it; the record after it is taken, so the fault is in it."""
    receiver = _refusing(33)
    rig.append(100)
    with rig.pumping(receiver) as pump:
        assert wait(rig.delivered)
    reading = pump.reading()

    assert receiver.seqs == [seq for seq in range(rig.writer.size) if seq != 33]
    assert (reading.refused, reading.reason) == (1, "")


def test_a_receiver_that_refuses_everything_is_down_and_costs_no_record(rig: Rig) -> None:
    """A wrong address answers 400 to all: nothing is given up for that."""
    refusing = threading.Event()
    refusing.set()

    def rule(batch: Sequence[Entry]) -> int:
        if refusing.is_set():
            raise SinkRefused("no such endpoint")
        return 0

    receiver = Obedient(rule)
    rig.append(40)
    with rig.pumping(receiver) as pump:
        assert wait(lambda: pump.reading().reason)
        stuck = pump.reading()
        refusing.clear()
        assert wait(rig.delivered)

    assert stuck.refused == 0
    assert stuck.reason == "record 0 was refused: no such endpoint"
    assert receiver.seqs == list(range(rig.writer.size))


def test_a_mandatory_sink_gives_nothing_up(rig: Rig) -> None:
    """It waits at the refused record and says which one it is."""
    rig.append(60)
    with rig.pumping(_refusing(33), replace(OPTIONS, mandatory=True)) as pump:
        assert wait(lambda: pump.reading().reason)
        reading = pump.reading()

    assert reading.reason == "record 33 was refused: mapping"
    assert (reading.refused, reading.delivered, rig.cursor().next) == (0, 33, 33)


def test_what_a_receiver_drops_though_it_acknowledged_is_counted(rig: Rig) -> None:
    """As OTLP's partial success: never sent again, never silent."""
    rig.append(10)
    with rig.pumping(Obedient(lambda batch: 2)) as pump:
        assert wait(rig.delivered)
    reading = pump.reading()

    assert reading.refused == 2


def test_a_new_sink_can_begin_with_what_comes_next(rig: Rig) -> None:
    """`start = "now"` counts from its first start, not from its first success."""
    receiver = Obedient()
    rig.append(30)
    options = replace(OPTIONS, start="now")
    with rig.pumping(receiver, options):
        assert wait(lambda: CursorFile(rig.directory, "siem").load() is not None)
    begin = rig.writer.size
    rig.append(5, prefix="new")
    rig.deliver_all(receiver, options)

    assert receiver.seqs == list(range(begin, rig.writer.size))


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(sink="siem", mandatory=False, next=20, event_id="of-another-log"),
        Cursor(sink="siem", mandatory=False, next=10_000, event_id="e9999"),
    ],
    ids=["another record", "beyond the end"],
)
def test_a_cursor_of_another_log_begins_anew(rig: Rig, cursor: Cursor) -> None:
    """After a log was set back, numbers stand for other records: better twice than never."""
    receiver = Obedient()
    rig.append(30)
    CursorFile(rig.directory, "siem").save(cursor)
    rig.deliver_all(receiver)

    assert receiver.seqs == list(range(rig.writer.size))


def test_a_damaged_cursor_begins_anew(rig: Rig) -> None:
    """Half a file is no cursor."""
    receiver = Obedient()
    rig.append(30)
    rig.deliver_all(receiver)
    (rig.directory / "sinks" / "siem.json").write_bytes(b'{"sink":"siem","man')
    rig.deliver_all(receiver)

    assert receiver.seqs == [*range(30), *range(30)]


@pytest.mark.parametrize("call", ["create", "pwrite", "fsync", "replace"])
def test_a_disk_that_fails_under_the_cursor_stops_no_delivery(rig: Rig, call: str) -> None:
    """Each write of the cursor in turn: the sink goes on, and the cursor on disk is never ahead or torn."""
    disk = FaultyDisk()
    seen = [0]

    def rule(name: str) -> object:
        seen[0] += name == call
        return errno.ENOSPC if name == call and seen[0] in {2, 3} else None

    disk.rule = rule
    receiver = Obedient()
    rig.append(200)
    pump = Pump(
        OPTIONS,
        lambda _: receiver,
        spool=Spool(rig.directory, lambda: rig.writer.size),
        cursor=CursorFile(rig.directory, "siem", disk),
        durable=lambda: rig.writer.size,
        random=NoJitter(),
        told=lambda name, reason: None,
    )
    pump.start()
    assert wait(rig.delivered)
    pump.halt()
    assert pump.join(30)

    assert receiver.seqs == list(range(rig.writer.size))
    assert pump.reading().failures == 2


def test_retry_after_is_waited_for(rig: Rig) -> None:
    """A receiver that asks for a pause gets it: nothing is sent meanwhile."""
    receiver = Obedient(lambda _: _raise(SinkDown("busy", retry_after_s=600)))
    rig.append(10)
    with rig.pumping(receiver) as pump:
        assert wait(lambda: pump.reading().failures)
        threading.Event().wait(0.3)

        assert len(receiver.batches) == 1


def _raise(error: Exception) -> int:
    raise error
