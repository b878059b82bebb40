"""The log, read in order, whole lines only, whatever happens to its files meanwhile."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tests.audit.specimens import compress, lines, write_log

from tristar.audit.reader import CHUNK_BYTES, Segment, Snapshot, Span, decode, position
from tristar.errors import AuditCorrupt


def everything(directory: Path) -> bytes:
    """All whole lines of the log."""
    return b"".join(Snapshot.take(directory).chunks())


def test_closed_and_active_segments_are_read_in_order(tmp_path: Path) -> None:
    """By the number of their first record, whether compressed or not."""
    content = lines(30)
    write_log(tmp_path, content[:10], content[10:20], content[20:])

    assert everything(tmp_path) == b"".join(content)
    assert list(Snapshot.take(tmp_path).lines()) == content


def test_torn_last_line_is_left_alone(tmp_path: Path) -> None:
    """What has no newline is no record yet."""
    content = lines(3)
    write_log(tmp_path, content, torn=content[0][:-1])

    assert everything(tmp_path) == b"".join(content)


def test_space_reserved_by_the_writer_is_no_record(tmp_path: Path) -> None:
    """Zero bytes after the last line, newlines among them or not."""
    content = lines(3)
    write_log(tmp_path, content, torn=b"\0" * 5000 + b"\n")

    assert everything(tmp_path) == b"".join(content)


def test_what_is_appended_meanwhile_belongs_to_the_next_reading(tmp_path: Path) -> None:
    """A reader ends, however fast the log grows."""
    content = lines(4)
    write_log(tmp_path, content[:2])
    snapshot = Snapshot.take(tmp_path)
    with next((tmp_path / "segments").iterdir()).open("ab") as active:
        active.writelines(content[2:])

    assert b"".join(snapshot.chunks()) == b"".join(content[:2])
    assert everything(tmp_path) == b"".join(content)


def test_segment_closed_meanwhile_is_read_under_its_new_name(tmp_path: Path) -> None:
    """Compressed between the look at the directory and its turn: nothing is lost or read twice."""
    content = lines(20)
    write_log(tmp_path, content[:10], content[10:])
    snapshot = Snapshot.take(tmp_path)
    compress(tmp_path / "segments" / f"{10:020d}.jsonl", content[10:] + lines(5, first_seq=20))

    assert b"".join(snapshot.chunks()) == b"".join(content)


def test_segment_removed_meanwhile_is_gone(tmp_path: Path) -> None:
    """Retention is no error."""
    content = lines(20)
    write_log(tmp_path, content[:10], content[10:])
    snapshot = Snapshot.take(tmp_path)
    (tmp_path / "segments" / f"{0:020d}.jsonl.zst").unlink()

    assert b"".join(snapshot.chunks()) == b"".join(content[10:])


def test_segment_found_in_both_forms_is_read_once(tmp_path: Path) -> None:
    """A crash between compressing and removing leaves both."""
    content = lines(10)
    write_log(tmp_path, content)
    path = tmp_path / "segments" / f"{0:020d}.jsonl"
    path.with_name(path.name + ".zst").write_bytes(zstandard.compress(b"".join(content)))

    assert everything(tmp_path) == b"".join(content)


def test_other_files_are_no_segments(tmp_path: Path) -> None:
    """Temporary files of the writer, notes of the operator."""
    content = lines(2)
    write_log(tmp_path, content)
    for name in (".00000000000000000000.jsonl.zst.tmp", "notes.jsonl", "1.jsonl.bak"):
        (tmp_path / "segments" / name).write_bytes(b"x\n")

    assert everything(tmp_path) == b"".join(content)


def test_directory_without_a_log_is_empty_and_stays_untouched(tmp_path: Path) -> None:
    """Reading makes nothing."""
    assert everything(tmp_path / "none") == b""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_lines_across_the_edges_of_chunks_stay_whole(tmp_path: Path, size: int) -> None:
    """Whatever the length of the line before."""
    content = [b"x" * (size - 1) + b"\n", b"y\n", b"z" * size + b"\n", b"\n"]
    write_log(tmp_path, content)

    assert list(Snapshot.take(tmp_path).lines()) == content


def test_range_of_time_includes_both_ends(tmp_path: Path) -> None:
    """since <= timestamp <= until."""
    content = lines(10)
    write_log(tmp_path, content)
    within = Span(content[3][14:41], content[6][14:41])

    assert list(Snapshot.take(tmp_path).lines(within)) == content[3:7]


@pytest.mark.parametrize("count", [1, 5, 10, 11, 30, 100])
def test_last_lines_come_oldest_first(tmp_path: Path, count: int) -> None:
    """Across segments, and no more than there are."""
    content = lines(30)
    write_log(tmp_path, content[:10], content[10:20], content[20:])

    assert Snapshot.take(tmp_path).last(count) == content[-count:]


def test_last_lines_of_a_large_segment_need_not_all_of_it(tmp_path: Path) -> None:
    """The end of an active segment is found from its end."""
    content = lines(20_000)
    write_log(tmp_path, content)
    segment = Snapshot.take(tmp_path).segments[0]
    seen = Segment(segment.first_seq, segment.path, segment.visible_bytes)

    assert b"".join(seen.ending(3)) == b"".join(content[-3:])


def test_last_lines_of_a_segment_that_is_closed_meanwhile(tmp_path: Path) -> None:
    """Compressed between the look at the directory and its turn."""
    content = lines(20)
    write_log(tmp_path, content)
    snapshot = Snapshot.take(tmp_path)
    compress(tmp_path / "segments" / f"{0:020d}.jsonl", content + lines(5, first_seq=20))

    assert snapshot.last(3) == content[-3:]


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:20] + b"XXXX" + raw[24:]]
)
def test_damaged_closed_segment_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Cut short or altered: an error, never fewer records than there were."""
    content = lines(5000)
    write_log(tmp_path, content, lines(1, first_seq=5000))
    path = tmp_path / "segments" / f"{0:020d}.jsonl.zst"
    path.write_bytes(spoil(path.read_bytes()))

    with pytest.raises(AuditCorrupt, match=r"jsonl.zst is damaged.*tristar audit verify"):
        everything(tmp_path)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A closed segment of 64 MiB is read in a few."""
    (tmp_path / "segments").mkdir()
    block = b"".join(lines(100)) * 32
    packer = zstandard.ZstdCompressor()
    with packer.stream_writer((tmp_path / "segments" / f"{0:020d}.jsonl.zst").open("wb")) as file:
        for _ in range((64 << 20) // len(block)):
            file.write(block)
    tracemalloc.start()

    total = sum(len(chunk) for chunk in Snapshot.take(tmp_path).chunks())

    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 60 << 20
    assert peak_bytes < 16 << 20


def test_line_that_is_no_record_is_named() -> None:
    """With the command that finds out what happened."""
    with pytest.raises(AuditCorrupt, match="tristar audit verify"):
        decode(b"{broken\n")
    with pytest.raises(AuditCorrupt, match="broken"):
        position(b"{broken\n")
    with pytest.raises(AuditCorrupt):
        decode(b'{"text": "\xff"}')
