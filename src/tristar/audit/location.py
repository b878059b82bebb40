"""From a signed root that does not fit, down to the records at fault."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from tristar.audit.grove import Grove, StoredView
from tristar.audit.tiles import tile_path
from tristar.audit.tree import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, Frontier, decompose, node_hash


class Location:
    """Walks down from the frontier's signed hashes; mends the grove with each hash that is proved right.

    `altered` are single records whose lines are not those that were signed; `vague` are ranges (first, last)
    in which some are, where no stored hash is left to tell which.
    """

    def __init__(self, directory: Path, grove: Grove) -> None:
        self._directory = directory
        self._grove = grove
        self._stored = StoredView(grove)
        self.altered: list[int] = []
        self.vague: list[tuple[int, int]] = []

    def locate(self, frontier: Frontier | None) -> None:
        """Find what differs from this frontier; without one only the differences from the tiles are found."""
        if frontier is None:
            self._unsure(0, self._grove.size)
            return
        peaks = [peak for peak in reversed(frontier.peaks) if peak]
        for (level, index), peak in zip(decompose(frontier.size), peaks, strict=True):
            self._descend(level, index, peak)

    def _descend(self, level: int, index: int, expected: bytes) -> None:
        if self._grove.node(level, index) == expected:
            return
        if level == 0:
            self._grove.set(0, index, expected)
            self.altered.append(index)
            return
        found = self._children(level - 1, index, expected)
        if found is None:
            self._unsure(index << level, (index + 1) << level)
        else:
            for child, value in enumerate(found, 2 * index):
                self._descend(level - 1, child, value)
        self._grove.set(level, index, expected)

    def _children(self, level: int, index: int, expected: bytes) -> tuple[bytes, bytes] | None:
        for left, right in product(self._known(level, 2 * index), self._known(level, 2 * index + 1)):
            if node_hash(left, right) == expected:
                return left, right
        return None

    def _known(self, level: int, index: int) -> Iterator[bytes]:
        """What this node may have been: by the lines, by the leaf tiles, by the tile that holds it."""
        yield self._grove.node(level, index)
        yield self._stored.node(level, index)
        if level and level % TILE_HEIGHT == 0:
            yield from self._held(level, index)

    def _held(self, level: int, index: int) -> Iterator[bytes]:
        tile, at = divmod(index, TILE_WIDTH)
        whole = tile_path(self._directory, level // TILE_HEIGHT, tile)
        for path in (whole, *whole.with_name(f"{whole.name}.p").glob("*")):
            try:
                value = path.read_bytes()[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            except OSError:
                continue
            if len(value) == HASH_BYTES:
                yield value

    def _unsure(self, first: int, end: int) -> None:
        """No stored hash leads further: name the records where lines and tiles differ, or the whole range."""
        end, named = min(end, self._grove.size), False
        for tile, stored in sorted(self._grove.suspect.items()):
            for seq, leaf in enumerate(stored, tile * TILE_WIDTH):
                if first <= seq < end and self._grove.leaf(seq) != leaf:
                    self.altered.append(seq)
                    named = True
        if not named:
            self.vague.append((first, end - 1))
