"""The tree against a second, plain reading of RFC 6962."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.audit.tree import (
    EMPTY_ROOT,
    Frontier,
    decompose,
    entry_hash,
    fold,
    leaf_hash,
    proof_nodes,
    root_from_proof,
)


def _plain_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word by word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + _plain_root(leaves[:split]) + _plain_root(leaves[split:])).digest()


def _leaves(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    """As RFC 6962 says."""
    assert Frontier().root() == EMPTY_ROOT == _plain_root([])


@given(st.lists(st.integers(0, 300), max_size=6))
def test_any_batches_give_the_root_of_the_whole(sizes: list[int]) -> None:
    """How the leaves are cut into batches changes nothing."""
    leaves, frontier, at = _leaves(sum(sizes)), Frontier(), 0
    for size in sizes:
        frontier = frontier.extend(leaves[at : at + size]).frontier
        at += size

    assert frontier.root() == _plain_root(leaves)
    assert frontier.size == len(leaves)


@given(st.integers(0, 3_000))
def test_a_frontier_survives_packing(size: int) -> None:
    """`unpack` reads what `pack` wrote, whatever follows it."""
    frontier = Frontier().extend(_leaves(size)).frontier

    assert Frontier.unpack(size, frontier.pack() + b"\0" * 40) == frontier


def test_a_frontier_that_is_too_short_is_refused() -> None:
    """Seven leaves need three hashes."""
    with pytest.raises(ValueError, match="too short"):
        Frontier.unpack(7, bytes(95))


@given(st.integers(1, 2_000), st.data())
def test_every_inclusion_proof_leads_to_the_root(size: int, data: st.DataObject) -> None:
    """And leads nowhere with another leaf, another place or a hash less."""
    index = data.draw(st.integers(0, size - 1))
    leaves = _leaves(size)
    proof = [
        fold([_plain_root(leaves[at << level : (at + 1) << level]) for level, at in step])
        for step in proof_nodes(index, size)
    ]
    root = _plain_root(leaves)

    assert root_from_proof(leaves[index], index, size, proof) == root
    assert root_from_proof(leaf_hash(b"other"), index, size, proof) != root
    assert size == 1 or root_from_proof(leaves[index], index, size, proof[:-1]) != root
    assert size == 1 or root_from_proof(leaves[index], (index + 1) % size, size, proof) != root
    assert root_from_proof(leaves[index], size, size, proof) is None


@given(st.integers(1, 100_000))
def test_a_size_is_the_sum_of_its_subtrees(size: int) -> None:
    """Largest first, each beginning where the one before it ends."""
    at = 0
    for level, index in decompose(size):
        assert index << level == at
        at += 1 << level

    assert at == size


@given(st.binary(max_size=10_000))
def test_a_long_line_is_hashed_like_a_short_one(line: bytes) -> None:
    """Piecewise hashing is hashing."""
    assert entry_hash(line) == sha256(line).digest()
