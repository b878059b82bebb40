"""The writer as its callers see it."""

import errno
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.bench import Bench, FaultyDisk, Own, draft

from tristar.audit.reserve import RESERVE
from tristar.audit.segments import list_segments, segment_path
from tristar.audit.verify import verify
from tristar.audit.writer import AuditWriter, WriterBusy, WriterOptions
from tristar.errors import AuditUnavailable

_OPTIONS = WriterOptions(publish_s=0.05, reserve_bytes=4096)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty directory."""
    return Bench(tmp_path)


def _until(condition: Callable[[], bool]) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return True
        pause.wait(0.01)
    return False


def test_the_line_on_disk_is_head_number_and_tail(bench: Bench) -> None:
    """Numbers begin at 0 and have no gaps; the bytes are the draft's own."""
    bench.write(3)
    item = draft("e1")

    assert bench.lines()[1] == item.head + b"1" + item.tail
    assert [record["seq"] for record in bench.records()] == [0, 1, 2]


def test_an_acknowledgement_follows_two_syncs(bench: Bench) -> None:
    """The lines, then the checkpoint over them; nothing is told before both are on the device."""
    disk, seen = FaultyDisk(), list[list[str]]()

    def on_commit(_tokens: object, _error: object) -> None:
        seen.append([call for call, thread in disk.calls if thread == "audit-commit"])

    writer = AuditWriter.open(
        bench.directory,
        options=_OPTIONS,
        signer=bench.signer,
        clock=bench.clock,
        on_commit=on_commit,
        internal=Own(bench.clock),
        disk=disk,
    )
    writer.append(draft("first"))
    assert _until(lambda: len(seen) == 1)
    writer.append(draft("second"))
    assert _until(lambda: len(seen) == 2)
    writer.close()

    assert seen[0] == ["create", "fsync", "pwrite", "fdatasync", "pwrite", "fdatasync"]
    assert seen[1][len(seen[0]) :] == ["pwrite", "fdatasync", "pwrite", "fdatasync"]


def test_a_reopened_log_goes_on_where_it_ended(bench: Bench) -> None:
    """A log closed in good order is continued without a word about recovery."""
    bench.write(3)
    bench.write(2, prefix="f")

    assert bench.event_ids() == ["e0", "e1", "e2", "f0", "f1"]
    assert {record["action"] for record in bench.records()} == {"llm_call"}


def test_files_and_folders_are_for_their_owner_alone(bench: Bench) -> None:
    """0600 and 0700, whatever the umask."""
    bench.write(300, options=WriterOptions(max_segment_bytes=20_000, publish_s=0.05, reserve_bytes=4096))
    paths = [bench.directory, *bench.directory.rglob("*")]

    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


def test_a_second_writer_is_refused(bench: Bench) -> None:
    """Also within the same process."""
    writer = bench.open()
    with pytest.raises(WriterBusy):
        bench.open()
    writer.close()
    bench.open().close()

    assert bench.lines() == []


def test_a_full_queue_refuses(bench: Bench) -> None:
    """While the disk hangs, `capacity` records wait and the next is refused at once."""
    gate = threading.Event()

    def rule(name: str) -> None:
        if name == "fdatasync" and threading.current_thread().name == "audit-commit":
            gate.wait(10)

    writer = bench.open(
        WriterOptions(capacity=5, publish_s=3600, reserve_bytes=4096), disk=FaultyDisk(rule=rule)
    )
    writer.append(draft("first"), "first")
    assert _until(lambda: writer.health().queued == 1)
    assert _until(lambda: len(writer._intake) == 0)
    for number in range(5):
        writer.append(draft(f"q{number}"), f"q{number}")
    with pytest.raises(AuditUnavailable, match="full"):
        writer.append(draft("one too many"))
    bench.clock.advance(7)
    health = writer.health()
    gate.set()
    writer.close()

    assert (health.queued, health.oldest_queued_s) == (6, 7.0)
    assert len(bench.fates.durable) == 6


def test_what_waits_can_be_withdrawn_and_what_is_being_written_cannot(bench: Bench) -> None:
    """A withdrawn record is not in the log, has no fate, and leaves no gap in the numbers."""
    gate = threading.Event()

    def rule(name: str) -> None:
        if name == "fdatasync" and threading.current_thread().name == "audit-commit":
            gate.wait(10)

    writer = bench.open(disk=FaultyDisk(rule=rule))
    writer.append(draft("writing"), "writing")
    assert _until(lambda: writer.health().queued == 1 and len(writer._intake) == 0)
    for name in ("a", "b", "c"):
        writer.append(draft(name), name)
    taken = writer.withdraw(["writing", "b", "unknown"])
    gate.set()
    writer.close()

    assert taken == {"b"}
    assert bench.fates.durable == ["writing", "a", "c"]
    assert bench.event_ids() == ["writing", "a", "c"]
    assert [record["seq"] for record in bench.records()] == [0, 1, 2]


def test_a_disk_that_fails_for_good_is_told_and_recovers_by_itself(bench: Bench) -> None:
    """Health turns bad, waiting records are given up after `give_up_s`, new ones refused; later all is
    well."""
    broken = threading.Event()

    def rule(name: str) -> object:
        commit = threading.current_thread().name == "audit-commit"
        return errno.EIO if commit and broken.is_set() and name == "pwrite" else None

    writer = bench.open(disk=FaultyDisk(rule=rule))
    writer.append(draft("before"), "before")
    bench.fates.wait(1)
    broken.set()
    writer.append(draft("lost"), "lost")
    assert _until(lambda: not writer.health().ok)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        writer.append(draft("refused"))
    bench.clock.advance(3)
    bench.fates.wait(2)
    writer.note_gap(2, "disk")
    broken.clear()
    assert _until(lambda: writer.health().ok)
    writer.append(draft("after"), "after")
    writer.close()

    assert bench.fates.failed == ["lost"]
    assert bench.event_ids() == ["before", "after"]
    own = {str(record["action"]): record["details"] for record in bench.records()}
    assert own["audit_gap"]["count"] == 2  # type: ignore[index]  # the record's own shape
    assert "audit_recovered" in own
    assert verify(bench.directory, bench.signer.verifier).ok


def test_a_full_disk_takes_the_record_under_way_and_resumes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reserve is given up for it; then records are refused until there is space again."""
    space = {"free": 1 << 40}
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": space["free"]}))

    def rule(name: str) -> object:
        commit = threading.current_thread().name == "audit-commit"
        full = commit and name == "pwrite" and space["free"] == 0 and (bench.directory / RESERVE).exists()
        return errno.ENOSPC if full else None

    writer = bench.open(disk=FaultyDisk(rule=rule))
    assert (bench.directory / RESERVE).stat().st_size == 4096
    space["free"] = 0
    writer.append(draft("last"), "last")
    bench.fates.wait(1)
    refused = writer.health()
    with pytest.raises(AuditUnavailable, match="full"):
        writer.append(draft("refused"))
    space["free"] = 1 << 40
    assert _until(lambda: writer.health().ok)
    writer.append(draft("after"), "after")
    writer.close()

    assert "full" in refused.reason
    assert bench.event_ids() == ["last", "after"]
    assert (bench.directory / RESERVE).stat().st_size == 4096


def test_a_directory_at_its_limit_is_as_a_full_disk(bench: Bench) -> None:
    """A warning at 80 %, a refusal at 100 %; nothing is deleted for it."""
    bench.write(200)
    used = sum(path.stat().st_size for path in bench.directory.rglob("*") if path.is_file()) - 4096
    writer = bench.open(WriterOptions(total_bytes=int(used * 1.1), publish_s=0.05, reserve_bytes=4096))
    assert _until(lambda: bool(writer.health().warning))
    assert writer.health().ok
    writer.close()
    writer = bench.open(WriterOptions(total_bytes=used // 2, publish_s=0.05, reserve_bytes=4096))
    assert _until(lambda: not writer.health().ok)
    assert _until(lambda: bool(writer._intake.refusal))
    with pytest.raises(AuditUnavailable, match="AUDIT_TOTAL_SIZE_MB"):
        writer.append(draft("x"), "x")
    writer.close()

    assert len(bench.event_ids()) >= 200


def test_a_segment_closes_at_its_size_and_is_compressed_with_a_manifest(bench: Bench) -> None:
    """No segment exceeds the limit by more than a record; each closing is recorded."""
    bench.write(400, options=WriterOptions(max_segment_bytes=20_000, publish_s=0.05, reserve_bytes=4096))
    segments = list_segments(bench.directory)
    closings = [record for record in bench.records() if record["action"] == "audit_segment_closed"]

    assert len(segments) > 3
    assert [segment.packed for segment in segments] == [True] * (len(segments) - 1) + [False]
    assert max(sum(map(len, segment.chunks())) for segment in segments) < 21_000
    assert len(closings) == len(segments) - 1


def test_a_segment_closes_at_the_end_of_the_day(bench: Bench) -> None:
    """Also when little is written, so that retention has something to delete."""
    writer = bench.open()
    for name in ("monday", "evening"):
        writer.append(draft(name), name)
    bench.fates.wait(2)
    bench.clock.advance(86_400)
    assert _until(lambda: len(list_segments(bench.directory)) == 2)
    writer.close()

    assert segment_path(bench.directory, 2).exists()


def test_a_crash_leaves_whole_records_and_a_torn_one(bench: Bench) -> None:
    """The whole ones are kept and marked, the torn one goes to quarantine, and the log says both."""
    writer = bench.open()
    writer.append(draft("acknowledged"), "acknowledged")
    bench.fates.wait(1)
    (tmp := bench.root / "crashed").mkdir()
    shutil.copytree(bench.directory, tmp / "audit", ignore=shutil.ignore_patterns("*.sock"))
    shutil.copytree(bench.root / "data", tmp / "data")
    writer.close()
    crashed, item = Bench(tmp), draft("unacknowledged")
    with segment_path(crashed.directory, 0).open("ab") as file:
        file.write(item.head + b"1" + item.tail + b"\n" + item.head[:50])
    crashed.open().close()
    record = crashed.records()[-1]

    assert crashed.event_ids() == ["acknowledged", "unacknowledged"]
    assert record["action"] == "audit_recovered"
    assert '"unacknowledged_kept": 1, "quarantined_bytes": 50' in json.dumps(record["details"])
    assert len(list((crashed.directory / "quarantine").iterdir())) == 1
    assert verify(crashed.directory, crashed.signer.verifier).ok


def test_lines_put_behind_a_closed_log_are_not_kept(bench: Bench) -> None:
    """A log closed in good order has no unacknowledged records: whatever follows is quarantined."""
    bench.write(1)
    item = draft("forged")
    with segment_path(bench.directory, 0).open("ab") as file:
        file.write(item.head + b"1" + item.tail + b"\n")
    bench.open().close()

    assert bench.event_ids() == ["e0"]
    assert bench.records()[-1]["action"] == "audit_recovered"


def test_a_stepped_clock_changes_no_order(bench: Bench) -> None:
    """An hour back: the numbers go on."""
    writer = bench.open()
    for step in (0, -3600, -3600):
        bench.clock.step(step)
        writer.append(draft(f"at{step}", at_s=bench.clock.time()), step)
    writer.close()

    assert [record["seq"] for record in bench.records()] == [0, 1, 2]
    assert verify(bench.directory, bench.signer.verifier).ok


def test_a_callback_that_raises_stops_nobody_else(bench: Bench) -> None:
    """The next batch is committed all the same."""

    def on_commit(tokens: object, error: object) -> None:
        bench.fates(tokens, error)  # type: ignore[arg-type]  # passed through
        raise RuntimeError("a caller's fault")

    writer = AuditWriter.open(
        bench.directory,
        options=_OPTIONS,
        signer=bench.signer,
        clock=bench.clock,
        on_commit=on_commit,
        internal=Own(bench.clock),
    )
    for number in range(3):
        writer.append(draft(f"e{number}"), number)
        bench.fates.wait(number + 1)
    writer.close()

    assert bench.event_ids() == ["e0", "e1", "e2"]


def test_many_threads_append_at_once(bench: Bench) -> None:
    """Each record once, each thread's own in its order."""
    writer = bench.open(WriterOptions(max_segment_bytes=30_000, publish_s=0.05, reserve_bytes=4096))

    def load(lane: int) -> None:
        for number in range(200):
            writer.append(draft(f"{lane}-{number}"), (lane, number))

    threads = [threading.Thread(target=load, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    ids = bench.event_ids()

    assert len(ids) == len(set(ids)) == 1_600
    assert [name for name in ids if name.startswith("3-")] == [f"3-{number}" for number in range(200)]


def test_after_close_nothing_is_accepted(bench: Bench) -> None:
    """And closing twice is closing once."""
    writer = bench.open()
    writer.close()
    writer.close()

    with pytest.raises(AuditUnavailable, match="closed"):
        writer.append(draft("late"))


def test_larger_batches_are_followed_by_longer_pauses() -> None:
    """A few callers wait for nobody; the more there are, the more share a sync, up to a bound."""
    options = WriterOptions(linger_s=0.001, crowd=4)
    pauses_ms = [round(options.pause_after_s(count) * 1e3, 3) for count in (0, 3, 4, 8, 16, 32, 1000)]

    assert pauses_ms == [0, 0, 1, 1, 2, 4, 4]


def test_records_nobody_waits_for_gather_as_long_as_they_are_told() -> None:
    """Relaxed records: however many came, the time that they linger is the same."""
    options = WriterOptions(linger_s=0.02, crowd=1)

    assert {options.pause_after_s(count) for count in (1, 200, 60_000)} == {0.02}
