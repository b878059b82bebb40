"""The Merkle tree of RFC 6962 over the log's lines.

The entry of a line is the SHA-256 of its exact bytes without the newline; its leaf hash is SHA-256(0x00 ||
entry), a node's is SHA-256(0x01 || left || right). Only hashes enter the tree, so proofs stay valid after a
line is deleted.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

# hashlib gives up the GIL for 2048 bytes and more, and getting it back from a busy event loop takes longer
# than hashing a few kilobytes: longer lines are fed in pieces below that size.
_PIECE_BYTES = 1984


def entry_hash(line: bytes) -> bytes:
    """What a line contributes to the tree: the SHA-256 of its bytes, without the newline."""
    if len(line) <= _PIECE_BYTES:
        return sha256(line).digest()
    state, view = sha256(), memoryview(line)
    for start in range(0, len(line), _PIECE_BYTES):
        state.update(view[start : start + _PIECE_BYTES])
    return state.digest()


def hash_lines(lines: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The entries of these lines, and their leaf hashes."""
    entries = [sha256(line).digest() if len(line) <= _PIECE_BYTES else entry_hash(line) for line in lines]
    return entries, [sha256(b"\x00" + entry).digest() for entry in entries]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf holding this entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def pairs(nodes: Sequence[bytes]) -> list[bytes]:
    """The parents of an even number of neighbours."""
    return [
        sha256(b"\x01" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)
    ]


def subtree(leaves: Sequence[bytes]) -> bytes:
    """The root of a complete subtree, of a power of two of leaves."""
    while len(leaves) > 1:
        leaves = pairs(leaves)
    return leaves[0]


@dataclass(frozen=True, slots=True)
class Growth:
    """What one extension produced: the new frontier, and the new complete nodes of each tile boundary
    level."""

    frontier: "Frontier"
    boundary: dict[int, list[bytes]]


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a tree: enough to extend it and to know its root. Immutable.

    `peaks[k]` is the root of the complete subtree of 2**k leaves that the size's binary form calls for, or
    b"".
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def extend(self, leaves: Sequence[bytes]) -> Growth:
        """The frontier after these leaf hashes; `boundary` has the nodes completed at levels 8, 16, …"""
        peaks, boundary = list(self.peaks), dict[int, list[bytes]]()
        carry, level = list(leaves), 0
        while carry:
            if level == len(peaks):
                peaks.append(b"")
            if level and not level % TILE_HEIGHT:
                boundary[level] = list(carry)
            if peaks[level]:
                carry.insert(0, peaks[level])
            peaks[level] = carry.pop() if len(carry) % 2 else b""
            carry, level = pairs(carry), level + 1
        return Growth(Frontier(self.size + len(leaves), tuple(peaks)), boundary)

    def root(self) -> bytes:
        """The tree's root hash."""
        root = b""
        for peak in self.peaks:
            if peak:
                root = node_hash(peak, root) if root else peak
        return root or EMPTY_ROOT

    def pack(self) -> bytes:
        """The peaks, smallest first; with the size this is all."""
        return b"".join(self.peaks)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> "Frontier":
        """Read `pack`'s form; surplus bytes are ignored. Raises ValueError when bytes are missing."""
        if len(packed) < size.bit_count() * HASH_BYTES:
            raise ValueError("the frontier is too short for its size")
        peaks, at = [], 0
        for level in range(size.bit_length()):
            if size >> level & 1:
                peaks.append(packed[at : at + HASH_BYTES])
                at += HASH_BYTES
            else:
                peaks.append(b"")
        return cls(size, tuple(peaks))

    def text(self) -> str:
        """`pack`'s form in base64, for manifests and records."""
        return base64.b64encode(self.pack()).decode()


def decompose(size: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees of a tree of this size, largest first, as (level, index)."""
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            yield level, start >> level
            start += 1 << level


def proof_nodes(index: int, size: int) -> list[list[tuple[int, int]]]:
    """The inclusion proof of RFC 6962 2.1.1, leaf end first: each hash as the complete subtrees it is made
    of.

    A hash to the right of the path at the tree's ragged edge is made of several; `fold` joins them.
    """
    steps: list[list[tuple[int, int]]] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        if index < middle:
            steps.append(_cover(middle, end))
            end = middle
        else:
            steps.append(_cover(start, middle))
            start = middle
    return steps[::-1]


def _cover(start: int, end: int) -> list[tuple[int, int]]:
    return [(level, (start >> level) + index) for level, index in decompose(end - start)]


def fold(nodes: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees, largest first."""
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def root_from_proof(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to (RFC 9162 2.1.3.2), or None where its length is wrong."""
    if not 0 <= index < size:
        return None
    first, last, root = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return None
        if first % 2 or first == last:
            root = node_hash(step, root)
            while not first % 2 and first:
                first, last = first >> 1, last >> 1
        else:
            root = node_hash(root, step)
        first, last = first >> 1, last >> 1
    return root if last == 0 else None
