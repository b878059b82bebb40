"""Whatever is done to a log without its key is found, and named."""

import itertools
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.bench import Bench, draft

from tristar.audit.checkpoint import CHECKPOINT, SLOT_BYTES, SLOTS, read_checkpoint
from tristar.audit.scan import Task, scan
from tristar.audit.segments import SegmentFile, list_segments
from tristar.audit.tiles import tile_path
from tristar.audit.tree import TILE_WIDTH, entry_hash, leaf_hash
from tristar.audit.verify import NothingToVerify, Report, verify
from tristar.audit.writer import AuditWriter, WriterOptions

_OPTIONS = WriterOptions(max_segment_bytes=40_000, publish_s=0.05, reserve_bytes=4096)
_COUNT = 1_050


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A log of several closed segments and an active one, closed in good order; never changed."""
    bench = Bench(tmp_path_factory.mktemp("original"))
    bench.write(_COUNT, options=_OPTIONS)
    return bench


@pytest.fixture
def bench(original: Bench, tmp_path: Path) -> Bench:
    """A copy of it to spoil."""
    shutil.copytree(original.root, tmp_path / "copy")
    return Bench(tmp_path / "copy")


def _verify(bench: Bench, expect: bytes | None = None) -> Report:
    return verify(bench.directory, bench.signer.verifier, expect, workers=1)


def _grown(bench: Bench, writer: AuditWriter, prefix: str, count: int) -> int:
    """Append so many; the size of a checkpoint that covers them, once older incomplete tiles are gone."""
    before, kept = len(bench.fates.durable), len(bench.lines())
    for number in range(count):
        writer.append(draft(f"{prefix}{number}", at_s=bench.clock.time()), number)
    bench.fates.wait(before + count)
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline, "nothing is published"
        path = bench.directory / CHECKPOINT
        found = read_checkpoint(path.read_bytes(), [bench.signer.verifier]).size if path.exists() else 0
        partial = {int(path.name) for path in (bench.directory / "tile" / "0").glob("*.p/*")}
        if found >= kept + count and partial <= {found % TILE_WIDTH}:
            return found
        time.sleep(0.01)


def _active(bench: Bench) -> Path:
    path = list_segments(bench.directory)[-1].path
    assert path.suffix == ".jsonl"
    return path


def test_an_untouched_log_is_found_good(original: Bench) -> None:
    """No fault, every record counted, and the missing anchor is said."""
    report = _verify(original)

    assert [str(fault) for fault in report.faults] == []
    assert report.size == len(original.lines()) > _COUNT
    assert "--expect-checkpoint" in report.notices[0]


@pytest.mark.parametrize("count", [40, 300])
def test_a_log_that_grows_while_it_is_verified_is_found_good(tmp_path: Path, count: int) -> None:
    """Incomplete tiles of the checkpoint are gone when they are looked for: wider ones are there."""
    bench = Bench(tmp_path)
    writer = bench.open()
    published = _grown(bench, writer, "a", count)

    def grow(_done: int, _total: int) -> None:
        nonlocal published
        published = _grown(bench, writer, f"b{published}-", 7)

    first = published
    report = verify(bench.directory, bench.signer.verifier, None, grow, workers=1)
    writer.close()

    assert [str(fault) for fault in report.faults] == []
    assert published > first
    assert not tile_path(bench.directory, 0, first // TILE_WIDTH, first % TILE_WIDTH).exists()


def test_segments_that_are_compressed_meanwhile_are_found_good(bench: Bench) -> None:
    """They were plain when they were listed, and had no manifest."""
    for packed in list_segments(bench.directory)[:-1]:
        plain = SegmentFile(packed.first, packed.path.with_name(packed.path.name.removesuffix(".zst")))
        end = packed.first + sum(1 for _ in packed.lines())
        found = scan(Task(bench.directory, plain, end, last=False, wanted=frozenset(), packed_sha256=""))

        assert not plain.path.exists()
        assert found.faults == []


def test_a_busy_log_is_found_good_each_time(tmp_path: Path) -> None:
    """While tiles fill, checkpoints follow each other and segments are closed and compressed."""
    bench, busy = Bench(tmp_path), threading.Event()
    writer = bench.open(WriterOptions(publish_s=0.001, reserve_bytes=4096, max_segment_bytes=40_000))

    def write() -> None:
        for number in itertools.count():
            if busy.is_set():
                return
            writer.append(draft(f"x{number}", at_s=bench.clock.time()), number)
            busy.wait(0.001)

    writing = threading.Thread(target=write)
    writing.start()
    bench.fates.wait(100)
    faults = [verify(bench.directory, bench.signer.verifier, workers=1).faults for _ in range(100)]
    busy.set()
    writing.join()
    writer.close()

    assert [str(fault) for found in faults for fault in found] == []


def test_a_tile_that_is_gone_is_missed_while_the_log_grows(tmp_path: Path) -> None:
    """That the log goes on excuses no other tile."""
    bench = Bench(tmp_path)
    writer = bench.open()
    published = _grown(bench, writer, "a", 300)
    tile_path(bench.directory, 0, 0).unlink()

    def grow(_done: int, _total: int) -> None:
        _grown(bench, writer, f"b{published}-", 7)

    report = verify(bench.directory, bench.signer.verifier, None, grow, workers=1)
    writer.close()

    assert ("tile/0/000", "is missing") in [(fault.file, fault.problem) for fault in report.faults]


def test_many_processes_find_the_same(original: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work spread over processes gives the same report."""
    monkeypatch.setattr("tristar.audit.verify._INLINE_BYTES", 0)
    told: list[tuple[int, int]] = []

    report = verify(
        original.directory,
        original.signer.verifier,
        None,
        lambda done, total: told.append((done, total)),
        workers=2,
    )

    assert report.ok
    assert told[-1][0] == told[-1][1] > 0


def test_a_directory_without_a_log_is_no_good_log(tmp_path: Path, original: Bench) -> None:
    """Nothing to verify is an error, not a success."""
    with pytest.raises(NothingToVerify):
        verify(tmp_path, original.signer.verifier)


def test_a_flipped_bit_in_a_line_names_the_record(bench: Bench) -> None:
    """One character of one line: exactly that record is named."""
    path = _active(bench)
    lines = path.read_bytes().splitlines(keepends=True)
    first = list_segments(bench.directory)[-1].first
    lines[5] = lines[5].replace(b'"resource":"r"', b'"resource":"q"')
    path.write_bytes(b"".join(lines))

    report = _verify(bench)

    assert [(fault.seq, fault.problem) for fault in report.faults] == [(first + 5, "was altered")]


def _remove(lines: list[bytes]) -> None:
    del lines[7]


def _swap(lines: list[bytes]) -> None:
    lines[7], lines[8] = lines[8], lines[7]


def _repeat(lines: list[bytes]) -> None:
    lines.insert(8, lines[7])


def _repeat_last(lines: list[bytes]) -> None:
    lines.append(lines[-1])


def _remove_last(lines: list[bytes]) -> None:
    lines.pop()


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (_remove, 7, "is missing"),
        (_swap, 7, "is not in its place"),
        (_repeat, 7, "is there twice"),
        (_repeat_last, -1, "is there twice"),
        (_remove_last, -1, "is missing"),
    ],
)
def test_a_changed_order_of_lines_is_named(
    bench: Bench, change: Callable[[list[bytes]], None], place: int, problem: str
) -> None:
    """A line removed, swapped or repeated, at either end: the record and what became of it."""
    path, first = _active(bench), list_segments(bench.directory)[-1].first
    lines = path.read_bytes().splitlines(keepends=True)
    seq = first + place if place >= 0 else first + len(lines) - 1
    change(lines)
    path.write_bytes(b"".join(lines))

    report = _verify(bench)

    assert [(fault.seq, fault.problem) for fault in report.faults] == [(seq, problem)]


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_removed_segment_is_named(bench: Bench, which: int) -> None:
    """The first, a middle and the active segment: their records are missing."""
    segments = list_segments(bench.directory)
    segments[which].path.unlink()

    report = _verify(bench)

    assert report.faults[0].seq == segments[which].first
    assert "is missing, and all up to record" in report.faults[0].problem


def test_a_line_appended_to_a_closed_log_is_found(bench: Bench) -> None:
    """A forged record with the next number does not pass for one left by a crash."""
    path, record = _active(bench), draft("forged")
    with path.open("ab") as file:
        file.write(record.head + str(_verify(bench).size).encode() + record.tail + b"\n")

    report = _verify(bench)

    assert "of a log that was closed" in report.faults[0].problem


def test_going_back_by_one_checkpoint_is_found(bench: Bench) -> None:
    """The newer slot spoiled, or overwritten with the older one: a pair that never was."""
    path = bench.directory / SLOTS
    data = path.read_bytes()
    first, second = data[:SLOT_BYTES], data[SLOT_BYTES:]
    for forged in (first + first, second + second, first + bytes(SLOT_BYTES), second + first):
        path.write_bytes(forged)

        assert not _verify(bench).ok


def test_rewriting_everything_without_the_key_is_found(bench: Bench, tmp_path: Path) -> None:
    """A whole new log under another key does not pass."""
    other = Bench(tmp_path / "other")
    other.write(50)
    report = verify(other.directory, bench.signer.verifier)

    assert not report.ok


def test_an_older_copy_is_told_by_a_checkpoint_kept_elsewhere(bench: Bench, tmp_path: Path) -> None:
    """The whole directory put back passes alone, and fails against the anchor."""
    shutil.copytree(bench.directory, tmp_path / "older")
    bench.write(5, prefix="later", options=_OPTIONS)
    anchor = (bench.directory / CHECKPOINT).read_bytes()

    assert _verify(bench, anchor).ok
    shutil.rmtree(bench.directory)
    shutil.copytree(tmp_path / "older", bench.directory)
    assert _verify(bench).ok
    report = _verify(bench, anchor)
    assert [fault.file for fault in report.faults] == ["the checkpoint kept elsewhere"]
    assert "put back" in report.faults[0].problem


def test_an_older_checkpoint_kept_elsewhere_fits_a_log_that_grew(bench: Bench) -> None:
    """An anchor of some time ago is a prefix of today's log."""
    anchor = (bench.directory / CHECKPOINT).read_bytes()
    bench.write(700, prefix="later", options=_OPTIONS)

    assert _verify(bench, anchor).ok


def test_a_line_and_its_tile_rewritten_together_are_found(bench: Bench) -> None:
    """Whoever also mends the tiles still does not have the root."""
    segment = list_segments(bench.directory)[-1]
    lines = segment.path.read_bytes().splitlines()
    lines[3] = lines[3].replace(b'"resource":"r"', b'"resource":"q"')
    segment.path.write_bytes(b"\n".join(lines) + b"\n")
    seq = segment.first + 3
    tile = tile_path(bench.directory, 0, seq // 256)
    path = tile if tile.exists() else next(tile.with_name(f"{tile.name}.p").iterdir())
    raw = bytearray(path.read_bytes())
    raw[seq % 256 * 32 : seq % 256 * 32 + 32] = leaf_hash(entry_hash(lines[3]))
    path.write_bytes(raw)

    report = _verify(bench)

    assert not report.ok
    assert any("altered" in fault.problem for fault in report.faults)
