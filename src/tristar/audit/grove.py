"""The tree as verification sees it: built from the lines, with the signed hashes in the places where it
was mended."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tristar.audit.scan import UNKNOWN, Scan
from tristar.audit.tiles import widest_hashes
from tristar.audit.tree import (
    EMPTY_ROOT,
    TILE_HEIGHT,
    TILE_WIDTH,
    decompose,
    fold,
    node_hash,
    subtree,
)


class Grove:
    """Hashes by level and index. Leaves come from lines, and from tiles where lines were rightly deleted."""

    def __init__(self, size: int, scans: Iterable[Scan], directory: Path) -> None:
        self.size = size
        self._directory = directory
        self._roots: dict[int, bytes] = {}
        self._leaves: dict[int, dict[int, bytes]] = {}
        self.suspect: dict[int, list[bytes]] = {}
        for found in scans:
            self._roots.update(found.roots)
            self.suspect.update(found.suspect_tiles)
            for index, leaves in found.leaves.items():
                self._leaves.setdefault(index, {}).update(leaves)
        self._set: dict[tuple[int, int], bytes] = {}
        self._opened: set[int] = set()
        self._memo: dict[tuple[int, int], bytes] = {}
        self._last: tuple[int, list[bytes]] = (-1, [])

    def set(self, level: int, index: int, value: bytes) -> None:
        """Take this hash for true, whatever lies under it."""
        self._set[level, index] = value
        if level < TILE_HEIGHT:
            self._opened.add(index >> TILE_HEIGHT - level)
        self._memo.clear()

    def scanned(self, index: int) -> bool:
        """Whether the tile's lines lie whole in one segment that was read."""
        return index in self._roots

    def leaf(self, seq: int) -> bytes:
        """One leaf hash."""
        if (0, seq) in self._set:
            return self._set[0, seq]
        held = self._leaves.get(seq // TILE_WIDTH, {}).get(seq)
        if held is not None:
            return held
        stored = self.stored(seq // TILE_WIDTH)
        return stored[seq % TILE_WIDTH] if seq % TILE_WIDTH < len(stored) else UNKNOWN

    def stored(self, index: int) -> list[bytes]:
        """The leaves that the tile on disk holds; the last one read is remembered."""
        if index in self.suspect:
            return self.suspect[index]
        if self._last[0] != index:
            self._last = (index, widest_hashes(self._directory, 0, index))
        return self._last[1]

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        known = self._set.get((level, index)) or self._memo.get((level, index))
        if known is None:
            known = self._memo[level, index] = self._computed(level, index)
        return known

    def _computed(self, level: int, index: int) -> bytes:
        if level == 0:
            return self.leaf(index)
        if level == TILE_HEIGHT and index not in self._opened:
            if index in self._roots:
                return self._roots[index]
            return subtree([self.leaf(seq) for seq in range(index * TILE_WIDTH, (index + 1) * TILE_WIDTH)])
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def root(self, size: int) -> bytes:
        """The root of the first so many leaves."""
        if size == 0:
            return EMPTY_ROOT
        return fold([self.node(level, index) for level, index in decompose(size)])


class StoredView:
    """The same tree as the tiles on disk would have it, where they differ from the lines."""

    def __init__(self, grove: Grove) -> None:
        self._grove = grove
        self._memo: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        found = self._memo.get((level, index))
        if found is None:
            found = self._memo[level, index] = self._computed(level, index)
        return found

    def _computed(self, level: int, index: int) -> bytes:
        if level < TILE_HEIGHT:
            stored: Mapping[int, bytes] = dict(enumerate(self._grove.stored(index >> TILE_HEIGHT - level)))
            first = index << level
            leaves = range(first, first + (1 << level))
            return subtree([stored.get(seq % TILE_WIDTH) or self._grove.leaf(seq) for seq in leaves])
        if not self._differs(level, index):
            return self._grove.node(level, index)
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def _differs(self, level: int, index: int) -> bool:
        shift = level - TILE_HEIGHT
        return any(tile >> shift == index for tile in self._grove.suspect)
