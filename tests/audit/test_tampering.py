"""Whatever is done to a log without its key is found, and named: the short form of `make soak ARGS=audit`."""

import shutil
from pathlib import Path

import pytest
from tests.audit.bench import Bench
from tests.audit.trials import tampering


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A log of several closed segments and an active one; never changed."""
    return tampering.specimen(tmp_path_factory.mktemp("original") / "log")


@pytest.fixture
def bench(original: Bench, tmp_path: Path) -> Bench:
    """A copy of it to spoil."""
    shutil.copytree(original.root, tmp_path / "copy")
    return Bench(tmp_path / "copy")


def test_each_flipped_bit_is_found(bench: Bench) -> None:
    """Any single bit, in segments, tiles, checkpoints: the file is named, and the record of a plain line."""
    outcome = tampering.flips(bench, 250)

    assert outcome.faults == []
    assert outcome.figures["bits flipped"] == 250


def test_truncation_is_found_wherever_it_cuts(tmp_path: Path) -> None:
    """Within the last 64 KiB of the active segment: the first record that is no longer whole is named."""
    bench = tampering.specimen(tmp_path / "log", records=960, segment_bytes=100_000)
    outcome = tampering.truncations(bench, 65_536, step=211)

    assert outcome.faults == []
    assert outcome.figures["cuts"] == 311


def test_lines_removed_swapped_repeated_and_altered_are_found(bench: Bench) -> None:
    """In every segment, closed ones compressed anew with a manifest that fits: the record is named."""
    outcome = tampering.lines_changed(bench, 80)

    assert outcome.faults == []
    assert set(outcome.figures.values()) == {20}


def test_each_removed_segment_is_found(bench: Bench) -> None:
    """With and without its manifest: the first missing record is named."""
    outcome = tampering.segments_removed(bench)

    assert outcome.faults == []
    assert outcome.figures["segments removed"] == 10


def test_rewriting_everything_without_the_key_is_found(bench: Bench) -> None:
    """Tiles, manifests and checkpoints that fit the altered line do not have the signature."""
    outcome = tampering.rehashed(bench, 9)

    assert outcome.faults == []
    assert set(outcome.figures.values()) == {3}


def test_an_older_log_put_back_contradicts_a_checkpoint_kept_elsewhere(bench: Bench) -> None:
    """Whole, or under the newer tiles: the anchor tells."""
    outcome = tampering.set_back(bench, 4)

    assert outcome.faults == []
    assert outcome.figures["set back"] == 6
