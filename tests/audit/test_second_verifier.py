"""Two verifiers that share no code agree: on good logs, and on every way to spoil one."""

import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit import second_verifier
from tests.audit.bench import Bench, Own
from tests.audit.trials.tampering import specimen

import tristar
from tristar.audit.checkpoint import CHECKPOINT, SLOTS
from tristar.audit.override import recover_accept_truncation
from tristar.audit.segments import list_segments
from tristar.audit.verify import verify
from tristar.audit.writer import WriterOptions

_OPTIONS = WriterOptions(max_segment_bytes=40_000, publish_s=0.05, reserve_bytes=4096)
_RECORDS = 700
_FLIPS = 120


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A log of several closed segments and an active one; never changed."""
    return specimen(tmp_path_factory.mktemp("original"), records=_RECORDS)


@pytest.fixture
def bench(original: Bench, tmp_path: Path) -> Bench:
    """A copy of it."""
    shutil.copytree(original.root, tmp_path / "copy")
    return Bench(tmp_path / "copy")


def verdicts(bench: Bench, key: str | None = None, expect: bytes | None = None) -> tuple[bool, bool]:
    """Whether the first and the second verifier find the log good."""
    text = key or bench.signer.verifier.text
    first = verify(bench.directory, type(bench.signer.verifier).parse(text), expect, workers=1).ok
    try:
        second_verifier.verify(bench.directory, text, expect)
    except second_verifier.WRONG:
        return first, False
    return first, True


def test_it_is_short_and_shares_no_code() -> None:
    """150 lines at the most, and nothing of ours is imported."""
    source = Path(second_verifier.__file__).read_text(encoding="utf-8")

    assert len(source.splitlines()) <= 150
    assert f"import {tristar.__name__}" not in source
    assert f"from {tristar.__name__}" not in source


def test_as_a_command_it_says_what_is_wrong(bench: Bench) -> None:
    """Exit 0 for the good log, 1 and a reason for the spoilt one."""
    public = bench.root / "data" / "audit-signing.vkey"
    command = [sys.executable, second_verifier.__file__, str(bench.directory), str(public)]
    good = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    (bench.directory / CHECKPOINT).unlink()
    bad = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (good.returncode, good.stderr) == (0, "")
    assert bad.returncode == 1
    assert CHECKPOINT in bad.stderr


def test_both_find_flipped_bits(bench: Bench) -> None:
    """Over segments, manifests' hashes aside, tiles, checkpoint and slots."""
    chance = random.Random(11)
    files = [path for path in bench.directory.glob("tile/**/*") if path.is_file()]
    files += [*bench.directory.glob("segments/*"), bench.directory / CHECKPOINT, bench.directory / SLOTS]
    for number in range(_FLIPS):
        path = files[number % len(files)]
        raw = path.read_bytes()
        spoilt, bit = bytearray(raw), chance.randrange(len(raw) * 8)
        spoilt[bit // 8] ^= 1 << bit % 8
        path.write_bytes(spoilt)

        assert verdicts(bench) == (False, False), f"{path.name}, bit {bit}"
        path.write_bytes(raw)
    assert verdicts(bench) == (True, True)


def _lines(change: Callable[[list[bytes]], object]) -> Callable[[Bench], None]:
    def spoil(bench: Bench) -> None:
        path = list_segments(bench.directory)[-1].path
        lines = path.read_bytes().splitlines(keepends=True)
        change(lines)
        path.write_bytes(b"".join(lines))

    return spoil


def _swap(lines: list[bytes]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _truncate(bench: Bench) -> None:
    path = list_segments(bench.directory)[-1].path
    path.write_bytes(path.read_bytes()[:-37])


def _remove_tile(bench: Bench) -> None:
    next(path for path in sorted(bench.directory.glob("tile/0/*")) if path.is_file()).unlink()


_SPOILS = {
    "removed": _lines(lambda lines: lines.pop(5)),
    "last removed": _lines(lambda lines: lines.pop()),
    "swapped": _lines(_swap),
    "duplicated": _lines(lambda lines: lines.insert(5, lines[5])),
    "appended": _lines(lambda lines: lines.append(lines[-1])),
    "truncated": _truncate,
    "segment removed": lambda bench: list_segments(bench.directory)[1].path.unlink(),
    "tile removed": _remove_tile,
    "tile added": lambda bench: (bench.directory / "tile/0/999").write_bytes(bytes(32 * 256)),
    "slots removed": lambda bench: (bench.directory / SLOTS).unlink(),
    "checkpoint removed": lambda bench: (bench.directory / CHECKPOINT).unlink(),
    "manifest removed": lambda bench: min(bench.directory.glob("manifests/*.json")).unlink(),
}


@pytest.mark.parametrize("spoil", _SPOILS.values(), ids=_SPOILS)
def test_both_find_what_is_removed_moved_or_added(bench: Bench, spoil: Callable[[Bench], object]) -> None:
    """Lines, segments, tiles, checkpoints."""
    spoil(bench)

    assert verdicts(bench) == (False, False)


def test_both_need_a_checkpoint_from_elsewhere_to_see_an_older_copy(original: Bench, tmp_path: Path) -> None:
    """Put back whole it looks good; against a newer checkpoint it does not."""
    shutil.copytree(original.root, tmp_path / "newer")
    newer = Bench(tmp_path / "newer")
    newer.write(10, options=_OPTIONS, prefix="n")
    kept = (newer.directory / CHECKPOINT).read_bytes()
    earlier = (original.directory / CHECKPOINT).read_bytes()

    assert verdicts(original) == (True, True)
    assert verdicts(original, expect=kept) == (False, False)
    assert verdicts(newer, expect=earlier) == (True, True)


def test_both_follow_rotations_from_either_key(bench: Bench) -> None:
    """Old and new epochs verify; a rotation that is altered leads nowhere."""
    before = bench.signer.verifier.text
    writer = bench.open(_OPTIONS)
    after = writer.rotate_key(bench.root / "data").text
    writer.close()
    bench.write(20, options=_OPTIONS, prefix="after")

    assert verdicts(bench, key=before) == verdicts(bench, key=after) == (True, True)
    (rotation,) = (bench.directory / "keys").glob("*.json")
    rotation.unlink()
    assert verdicts(bench, key=before) == (False, False)


def test_both_accept_what_retention_deleted_and_nothing_more(bench: Bench) -> None:
    """The signed statement accounts for the deleted; a further segment is missed."""
    bench.clock.advance(40 * 86_400)
    active = list_segments(bench.directory)[-1].first
    writer, pause = bench.open(_OPTIONS), threading.Event()
    for _ in range(500):
        if list_segments(bench.directory)[0].first >= active:
            break
        pause.wait(0.02)
    writer.close()

    assert list_segments(bench.directory)[0].first >= active
    assert verdicts(bench) == (True, True)
    (bench.directory / "manifests/gaps").unlink()
    assert verdicts(bench) == (False, False)


def test_both_accept_what_an_operator_gave_up_and_nothing_more(bench: Bench) -> None:
    """After an accepted truncation the log is good again; another altered line is found."""
    path = list_segments(bench.directory)[-1].path
    path.write_bytes(path.read_bytes()[:-3000])
    assert verdicts(bench) == (False, False)

    recover_accept_truncation(
        bench.directory,
        signer=bench.signer,
        clock=bench.clock,
        internal=Own(bench.clock),
        operator="alice",
        reason="disk replaced",
    )

    assert verdicts(bench) == (True, True)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b"e", b"f", 1), *lines[1:]]))
    assert verdicts(bench) == (False, False)
