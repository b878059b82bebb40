"""What can be done to a log without its key, done at random places: is it found, and is the place named?

Each trial takes a log that was closed in good order, spoils it, verifies it, and puts it right again.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import zstandard
from tests.audit.bench import Bench
from tests.audit.trials.outcome import Outcome

from tristar.audit.checkpoint import CHECKPOINT, SLOT_BYTES, SLOTS, Statement, publish, slot_block
from tristar.audit.disk import Disk
from tristar.audit.recovery import Grown
from tristar.audit.scan import Fault
from tristar.audit.segments import SegmentFile, list_manifests, list_segments, manifest_path
from tristar.audit.signing import Note, Signer
from tristar.audit.tiles import TILES, TileWriter
from tristar.audit.tree import Frontier
from tristar.audit.verify import Report, verify
from tristar.audit.writer import WriterOptions

ELSEWHERE = "the checkpoint kept elsewhere"


def specimen(root: Path, *, records: int = 1_050, segment_bytes: int = 40_000) -> Bench:
    """A log of several closed segments and an active one, closed in good order."""
    bench = Bench(root)
    bench.write(
        records,
        options=WriterOptions(max_segment_bytes=segment_bytes, publish_s=0.05, reserve_bytes=4096),
    )
    return bench


def verified(bench: Bench, expect: bytes | None = None) -> Report:
    """The verdict, by this process alone."""
    return verify(bench.directory, bench.signer.verifier, expect, workers=1)


def flips(bench: Bench, amount: int, seed: int = 7) -> Outcome:
    """Flip so many single bits, over segments, tiles and checkpoints in turn."""
    outcome, chance = Outcome(), random.Random(seed)
    files = [*bench.directory.glob("segments/*"), *bench.directory.glob("tile/**/*")]
    files = [path for path in files if path.is_file()]
    files += [bench.directory / CHECKPOINT, bench.directory / SLOTS]
    for number in range(amount):
        path = files[number % len(files)]
        bit = chance.randrange(path.stat().st_size * 8)
        _flip(path, bit)
        report = verified(bench)
        _flip(path, bit)
        outcome.count("bits flipped")
        name = str(path.relative_to(bench.directory))
        outcome.require(_named(report.faults, name, _records_at(path, bit // 8)), f"{name}: bit {bit}")
    outcome.figures["files"] = len(files)
    outcome.require(verified(bench).ok, "the log is not what it was before")
    return outcome


def _flip(path: Path, bit: int) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        (byte,) = os.pread(descriptor, 1, bit // 8)
        os.pwrite(descriptor, bytes([byte ^ 1 << bit % 8]), bit // 8)
    finally:
        os.close(descriptor)


def _records_at(path: Path, offset: int) -> range | None:
    """The records that a byte of a plain segment belongs to: a newline's are two."""
    if path.suffix != ".jsonl":
        return None
    data = path.read_bytes()
    seq = int(path.stem) + data.count(b"\n", 0, offset)
    return range(seq, seq + (2 if data[offset : offset + 1] == b"\n" else 1))


def _named(faults: Sequence[Fault], name: str, records: range | None) -> bool:
    """Whether a fault names the file, and in a plain segment one of the records."""
    found = [fault for fault in faults if fault.file == name]
    if records is None:
        return bool(found)
    return any(fault.seq in records for fault in found)


def truncations(bench: Bench, span_bytes: int, step: int = 1) -> Outcome:
    """Cut the active segment at each byte of its last `span_bytes` (or at every so manieth)."""
    outcome, segment = Outcome(), list_segments(bench.directory)[-1]
    data = segment.path.read_bytes()
    name = str(segment.path.relative_to(bench.directory))
    outcome.require(len(data) > span_bytes, f"the active segment has only {len(data)} bytes")
    for cut in range(1, span_bytes + 1, step):
        size = len(data) - cut
        os.truncate(segment.path, size)
        lost = segment.first + data.count(b"\n", 0, size)
        outcome.count("cuts")
        outcome.require(
            any(fault.file == name and fault.seq == lost for fault in verified(bench).faults),
            f"{name}: cut {cut} bytes before its end, record {lost}",
        )
    segment.path.write_bytes(data)
    outcome.require(verified(bench).ok, "the log is not what it was before")
    return outcome


def _removed(lines: list[bytes], at: int) -> None:
    del lines[at]


def _swapped(lines: list[bytes], at: int) -> None:
    lines[at], lines[at + 1] = lines[at + 1], lines[at]


def _duplicated(lines: list[bytes], at: int) -> None:
    lines.insert(at, lines[at])


def _altered(lines: list[bytes], at: int) -> None:
    lines[at] = lines[at].replace(b'"log_level":"INFO"', b'"log_level":"WARN"')


CHANGES: dict[str, Callable[[list[bytes], int], None]] = {
    "removed": _removed,
    "swapped": _swapped,
    "duplicated": _duplicated,
    "altered": _altered,
}


def lines_changed(bench: Bench, amount: int, seed: int = 8) -> Outcome:
    """Remove, swap, repeat and alter lines; in closed segments too, compressed and described anew."""
    outcome, chance = Outcome(), random.Random(seed)
    segments = list_segments(bench.directory)
    for number in range(amount):
        how, change = list(CHANGES.items())[number % len(CHANGES)]
        segment = chance.choice(segments)
        lines = list(segment.lines())
        at = chance.randrange(len(lines) - 1)
        change(lines, at)
        before = _rewrite(bench, segment, lines)
        report = verified(bench)
        _restore(before)
        outcome.count(f"lines {how}")
        name = str(segment.path.relative_to(bench.directory))
        places = range(segment.first + at, segment.first + at + 2)
        outcome.require(_named(report.faults, name, places), f"{name}: record {segment.first + at} was {how}")
    outcome.require(verified(bench).ok, "the log is not what it was before")
    return outcome


def segments_removed(bench: Bench) -> Outcome:
    """Take away each segment in turn, alone and with its manifest."""
    outcome = Outcome()
    for segment in list_segments(bench.directory):
        for together in (False, True):
            gone = [segment.path, *([manifest_path(bench.directory, segment.first)] if together else [])]
            before = {path: path.read_bytes() for path in gone if path.exists()}
            for path in before:
                path.unlink()
            report = verified(bench)
            _restore(before)
            outcome.count("segments removed")
            outcome.require(
                any(f.seq == segment.first and "is missing" in f.problem for f in report.faults),
                f"{segment.path.name} was removed",
            )
    outcome.require(verified(bench).ok, "the log is not what it was before")
    return outcome


def _rewrite(bench: Bench, segment: SegmentFile, lines: Sequence[bytes]) -> dict[Path, bytes]:
    """Write a segment anew, with a manifest that fits if it is a closed one; what was there before."""
    manifest = manifest_path(bench.directory, segment.first)
    before = {path: path.read_bytes() for path in (segment.path, manifest) if path.exists()}
    plain = b"".join(line + b"\n" for line in lines)
    if not segment.packed:
        segment.path.write_bytes(plain)
        return before
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(plain)
    segment.path.write_bytes(packed)
    described = msgspec.structs.replace(
        list_manifests(bench.directory)[segment.first],
        plain_bytes=len(plain),
        sha256=hashlib.sha256(plain).hexdigest(),
        packed_bytes=len(packed),
        packed_sha256=hashlib.sha256(packed).hexdigest(),
    )
    manifest.write_bytes(described.encode())
    return before


def _restore(before: dict[Path, bytes]) -> None:
    for path, content in before.items():
        path.write_bytes(content)


def rehashed(bench: Bench, amount: int, seed: int = 9) -> Outcome:
    """Alter one line, then make everything fit it again that needs no key; sign it in three wrong ways.

    The old signatures are left in place, moved to the new text, or replaced by a stranger's.
    """
    outcome, chance = Outcome(), random.Random(seed)
    stranger = Signer.load_or_create(bench.root / "stranger", name=bench.signer.name)
    for number in range(amount):
        how = ("left", "moved", "forged")[number % 3]
        copy = Bench(bench.root.with_name(f"{bench.root.name}-rehashed"))
        shutil.copytree(bench.root, copy.root)
        segment = chance.choice(list_segments(copy.directory))
        lines = list(segment.lines())
        at = chance.randrange(len(lines))
        _altered(lines, at)
        _rewrite(copy, segment, lines)
        _rehash(copy, stranger, how)
        faults = verify(copy.directory, bench.signer.verifier, None, workers=1).faults
        shutil.rmtree(copy.root)
        outcome.count(f"re-hashed, signatures {how}")
        seq = segment.first + at
        placed = any(
            f.seq is not None and f.seq <= seq <= (f.seq if f.last is None else f.last) for f in faults
        )
        signed = any(f.file in {SLOTS, CHECKPOINT} for f in faults)
        outcome.require(placed if how == "left" else signed, f"record {seq} rewritten, signatures {how}")
    return outcome


def _rehash(bench: Bench, stranger: Signer, how: str) -> None:
    """Tiles and manifests that fit the lines; then the signed texts."""
    shutil.rmtree(bench.directory / TILES)
    tiles, tree, manifests = TileWriter(Disk(), bench.directory), Frontier(), list_manifests(bench.directory)
    for segment in list_segments(bench.directory):
        grown = Grown.of(tree, list(segment.lines()))
        tree = grown.frontier
        tiles.feed(grown.entries, grown.leaves, grown.boundary)
        tiles.write_complete()
        if segment.first in manifests:
            fitting = msgspec.structs.replace(
                manifests[segment.first], root=tree.root().hex(), frontier=tree.text()
            )
            manifest_path(bench.directory, segment.first).write_bytes(fitting.encode())
    tiles.write_partial()
    if how == "forged":
        blocks = [slot_block(stranger, number, tree, closed=True) for number in (100, 101)]
        (bench.directory / SLOTS).write_bytes(b"".join(blocks))
        publish(Disk(), bench.directory, stranger, tree.size, tree.root())
    elif how == "moved":
        path = bench.directory / CHECKPOINT
        text = Statement(bench.signer.name, tree.size, tree.root()).body()
        path.write_bytes(_with_signature_of(path.read_bytes(), text))
        slots = (bench.directory / SLOTS).read_bytes()
        halves = (slots[:SLOT_BYTES], slots[SLOT_BYTES:])
        (bench.directory / SLOTS).write_bytes(b"".join(_moved(half, tree) for half in halves))


def _with_signature_of(note: bytes, text: bytes) -> bytes:
    return text + b"\n" + note.rpartition(b"\n\n")[2]


def _moved(block: bytes, tree: Frontier) -> bytes:
    note = block[:512].rstrip(b"\0")
    said = Statement.parse(Note.parse(note).body)
    text = Statement(said.origin, tree.size, tree.root(), said.extensions).body()
    return (_with_signature_of(note, text).ljust(512, b"\0") + tree.pack()).ljust(SLOT_BYTES, b"\0")


def set_back(bench: Bench, stages: int) -> Outcome:
    """Let the log grow in stages; put each older stage back, whole or under the newer tiles.

    Whole, it is a good log by itself: only a checkpoint kept elsewhere tells. That one always must.
    """
    outcome, kept = Outcome(), []
    for stage in range(stages):
        bench.write(40 + 90 * (stage % 3), prefix=f"stage{stage}-")
        kept.append(bench.root / f"stage{stage}")
        shutil.copytree(bench.directory, kept[-1])
    for older in range(stages - 1):
        anchor = (kept[older + 1] / CHECKPOINT).read_bytes()
        whole = verify(kept[older], bench.signer.verifier, anchor, workers=1)
        mixed = bench.root / "mixed"
        shutil.copytree(kept[-1], mixed)
        for name in ("segments", "manifests"):
            shutil.rmtree(mixed / name)
            shutil.copytree(kept[older] / name, mixed / name)
        for name in (CHECKPOINT, SLOTS):
            shutil.copy(kept[older] / name, mixed / name)
        part = verify(mixed, bench.signer.verifier, anchor, workers=1)
        shutil.rmtree(mixed)
        outcome.count("set back", 2)
        for report, how in ((whole, "whole"), (part, "without its tiles")):
            outcome.require(
                any(fault.file == ELSEWHERE for fault in report.faults), f"stage {older} put back {how}"
            )
    return outcome
