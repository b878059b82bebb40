"""Proofs that single records are in the log."""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.audit.bench import Bench

from tristar.audit.checkpoint import publish
from tristar.audit.disk import Disk
from tristar.audit.proof import Proof, check_proof, prove
from tristar.audit.segments import SEGMENTS
from tristar.audit.tiles import TILES, tile_path
from tristar.audit.tree import TILE_WIDTH, Frontier, leaf_hash, pairs
from tristar.audit.writer import WriterOptions


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A log of 700 records."""
    bench = Bench(tmp_path)
    bench.write(700, options=WriterOptions(max_segment_bytes=60_000, publish_s=0.05, reserve_bytes=4096))
    return bench


def test_every_proof_holds(bench: Bench) -> None:
    """First, last and those at the edges of tiles and segments, through JSON and back."""
    size = len(bench.lines())
    for seq in (0, 1, 255, 256, 511, 512, 650, size - 2, size - 1):
        proof = Proof.decode(prove(bench.directory, seq).encode())

        assert check_proof(proof, bench.signer.verifier) == []
        assert proof.line == bench.lines()[seq].decode()


@pytest.mark.parametrize("filled", [False, True])
def test_a_proof_holds_while_the_writer_replaces_tiles(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, filled: bool
) -> None:
    """An incomplete tile is gone when it is read: a wider one stands beside it, or the complete one."""
    size, read = len(bench.lines()), Path.read_bytes
    index, width = divmod(size, TILE_WIDTH)
    found = tile_path(bench.directory, 0, index, width)

    def replaced(path: Path) -> bytes:
        if path == found and path.exists():
            path.rename(tile_path(bench.directory, 0, index, TILE_WIDTH if filled else width + 1))
            if filled:
                path.parent.rmdir()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replaced)
    proof = prove(bench.directory, size - 1)

    assert check_proof(proof, bench.signer.verifier) == []
    assert not found.exists()


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the parts together."""
    return hashlib.sha256(b"".join(parts)).digest()


def holds_by_the_rfc(proof: dict[str, Any]) -> bool:
    """RFC 9162, 2.1.3.2, from the proof's JSON and the text of its checkpoint; no code of ours."""
    size, root = int(proof["checkpoint"].split("\n")[1]), base64.b64decode(proof["checkpoint"].split("\n")[2])
    at, last = proof["seq"], size - 1
    node = sha(b"\0", sha(proof["line"].encode()))
    for sibling in map(base64.b64decode, proof["hashes"]):
        if last == 0:
            return False
        if at & 1 or at == last:
            node = sha(b"\1", sibling, node)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            node = sha(b"\1", node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def test_an_independent_checker_agrees(bench: Bench) -> None:
    """Every record's proof passes the RFC's own algorithm; with one bit of it changed, none does."""
    for seq in range(0, len(bench.lines()), 7):
        proof = json.loads(prove(bench.directory, seq).encode())
        other = {**proof, "seq": seq + 1}
        longer = {**proof, "hashes": [*proof["hashes"], proof["hashes"][0]]}
        flipped = (
            bytes([base64.b64decode(proof["hashes"][0])[0] ^ 1]) + base64.b64decode(proof["hashes"][0])[1:]
        )
        altered = {**proof, "hashes": [base64.b64encode(flipped).decode(), *proof["hashes"][1:]]}

        assert holds_by_the_rfc(proof)
        assert not any(
            map(holds_by_the_rfc, (other, longer, altered, {**proof, "line": proof["line"] + " "}))
        )


def test_an_altered_proof_fails(bench: Bench) -> None:
    """Each part of it matters."""
    proof, key = prove(bench.directory, 300), bench.signer.verifier
    swapped = (proof.hashes[1], proof.hashes[0], *proof.hashes[2:])
    altered = [
        msgspec.structs.replace(proof, line=(proof.line or "").replace("llm_call", "llm_cull")),
        msgspec.structs.replace(proof, entry="00" * 32, line=None),
        msgspec.structs.replace(proof, seq=301),
        msgspec.structs.replace(proof, size=proof.size - 1),
        msgspec.structs.replace(proof, hashes=swapped),
        msgspec.structs.replace(proof, hashes=(*proof.hashes, base64.b64encode(bytes(32)).decode())),
        msgspec.structs.replace(proof, checkpoint=proof.checkpoint.replace("\n7", "\n8", 1)),
    ]
    for wrong in altered:
        assert check_proof(wrong, key) != []


def test_a_deleted_record_can_still_be_proved(bench: Bench) -> None:
    """Without the line, by its entry."""
    for path in (bench.directory / SEGMENTS).iterdir():
        path.unlink()
    proof = prove(bench.directory, 3)

    assert proof.line is None
    assert check_proof(proof, bench.signer.verifier) == []


def test_what_is_not_there_cannot_be_proved(bench: Bench, tmp_path: Path) -> None:
    """Neither a record of the future nor one of another directory."""
    with pytest.raises(LookupError):
        prove(bench.directory, 100_000)
    with pytest.raises(LookupError):
        prove(tmp_path / "nothing", 0)


def synthetic(directory: Path, size: int, bench: Bench) -> None:
    """The tiles of a tree of so many equal leaves: complete ones are all alike, so only a few are written."""
    level, count, node = 0, size, leaf_hash(b"same")
    frontier_nodes = [node]
    peaks = []
    shift = 0
    while count >> shift:
        peaks.append(frontier_nodes[-1] if count >> shift & 1 else b"")
        frontier_nodes.append(pairs([frontier_nodes[-1]] * 2)[0])
        shift += 1
    while count:
        whole, rest = divmod(count, TILE_WIDTH)
        value = frontier_nodes[level * 8]
        for index, width in ((0, TILE_WIDTH), (whole // 2, TILE_WIDTH), (whole, rest)):
            if width and (index < whole or width == rest):
                path = tile_path(directory, level, index, width)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(value * width)
        level, count = level + 1, whole
    publish(Disk(), directory, bench.signer, size, Frontier(size, tuple(peaks)).root())


def test_a_proof_in_a_tree_of_ten_million_is_short_and_quick(tmp_path: Path) -> None:
    """At most 24 hashes, a handful of tile reads, a few milliseconds."""
    bench, size = Bench(tmp_path), 10_000_000
    directory = tmp_path / "log"
    (directory / TILES).mkdir(parents=True)
    (directory / SEGMENTS).mkdir()
    synthetic(directory, size, bench)
    seq = (size // TILE_WIDTH // 2) * TILE_WIDTH + 77
    entries = tile_path(directory, "entries", seq // TILE_WIDTH)
    entries.parent.mkdir(parents=True)
    entries.write_bytes((b"\0\x20" + b"same".ljust(32, b"\0")) * TILE_WIDTH)
    began = time.perf_counter()
    proof = prove(directory, seq)
    took_s = time.perf_counter() - began

    assert len(proof.hashes) <= 24
    assert took_s < 1.0  # a walk over 10^7 leaves would take minutes
