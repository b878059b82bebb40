"""The tree's hashes as files that other transparency-log tools read: C2SP tlog-tiles.

`tile/<level>/<n>` holds 256 hashes of that level, `tile/entries/<n>` the entries under level 0's tile n,
each behind its length in two bytes; an incomplete tile is `…/<n>.p/<width>`. All of it is derived from the
segments and can be built again, until retention deletes those.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tristar.audit.disk import Disk
from tristar.audit.tree import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, Frontier, leaf_hash

TILES = "tile"
ENTRIES = "entries"
_ENTRY_LENGTH = HASH_BYTES.to_bytes(2, "big")
_ENTRY_BYTES = HASH_BYTES + len(_ENTRY_LENGTH)


def tile_path(directory: Path, level: int | str, index: int, width: int = TILE_WIDTH) -> Path:
    """Where a tile stands; `level` is a number or "entries", `width` below 256 names an incomplete one."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    partial = () if width == TILE_WIDTH else (str(width),)
    if partial:
        groups[-1] += ".p"
    return directory.joinpath(TILES, str(level), *groups, *partial)


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """The content of an entry bundle."""
    return b"".join(_ENTRY_LENGTH + entry for entry in entries)


def unpack_entries(raw: bytes) -> list[bytes]:
    """The entries of a bundle. Raises ValueError where it is not one of 32-byte entries."""
    if len(raw) % _ENTRY_BYTES:
        raise ValueError("not a bundle of 32-byte entries")
    parts = [raw[at : at + _ENTRY_BYTES] for at in range(0, len(raw), _ENTRY_BYTES)]
    if any(part[:2] != _ENTRY_LENGTH for part in parts):
        raise ValueError("not a bundle of 32-byte entries")
    return [part[2:] for part in parts]


def split_hashes(raw: bytes) -> list[bytes]:
    """The hashes in a tile's bytes."""
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def read_hashes(directory: Path, level: int, index: int, width: int) -> list[bytes]:
    """The first `width` hashes of a tile, from the complete one or any incomplete one that has them.

    Raises FileNotFoundError where no such tile is stored.
    """
    for candidate in _candidates(directory, level, index, width):
        with contextlib.suppress(OSError):
            raw = candidate.read_bytes()
            if len(raw) >= width * HASH_BYTES:
                return split_hashes(raw[: width * HASH_BYTES])
    raise FileNotFoundError(f"{tile_path(directory, level, index)}: no tile with {width} hashes")


def widest_hashes(directory: Path, level: int, index: int) -> list[bytes]:
    """All hashes of the widest stored form of a tile; none where there is none."""
    for listed in _listings(directory, level, index, 1):
        for candidate in (listed[0], *reversed(listed[1:])):
            with contextlib.suppress(OSError):
                return split_hashes(candidate.read_bytes())
    return []


def _candidates(directory: Path, level: int | str, index: int, width: int) -> Iterator[Path]:
    return itertools.chain.from_iterable(_listings(directory, level, index, width))


def _listings(directory: Path, level: int | str, index: int, width: int) -> Iterator[list[Path]]:
    """Where so many may stand, the complete tile first; anew while the writer replaces them."""
    whole, seen = tile_path(directory, level, index), None
    while (found := _wide_enough(whole, width)) != seen:
        yield [whole, *found]
        seen = found


def _wide_enough(whole: Path, width: int) -> list[Path]:
    folder = whole.with_name(f"{whole.name}.p")
    try:
        widths = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    except FileNotFoundError:
        return []
    return [folder / str(found) for found in sorted(widths) if found >= width]


def read_entries(directory: Path, index: int, width: int) -> list[bytes]:
    """As `read_hashes`, for the entries."""
    for candidate in _candidates(directory, ENTRIES, index, width):
        with contextlib.suppress(OSError, ValueError):
            entries = unpack_entries(candidate.read_bytes())
            if len(entries) >= width:
                return entries[:width]
    raise FileNotFoundError(f"{tile_path(directory, ENTRIES, index)}: no bundle with {width} entries")


class TileWriter:
    """Turns a growing tree into tiles; used by one thread."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk = disk
        self._directory = directory
        self.size = 0
        self._entries: list[bytes] = []
        self._hashes: dict[int, list[bytes]] = {0: []}
        self._written: list[Path] = []
        self._partial: set[Path] = set()
        self._pinned: set[Path] = set()
        self.written_bytes = 0

    def load(self, size: int) -> None:
        """Continue behind the stored tiles of a tree of this size. Raises FileNotFoundError, naming a
        tile."""
        width = size % TILE_WIDTH
        entries = read_entries(self._directory, size // TILE_WIDTH, width) if width else []
        hashes = {0: [leaf_hash(entry) for entry in entries]}
        level, above = 1, size >> TILE_HEIGHT
        while above:
            index, held = divmod(above, TILE_WIDTH)
            hashes[level] = read_hashes(self._directory, level, index, held) if held else []
            level, above = level + 1, above >> TILE_HEIGHT
        self.size, self._entries, self._hashes = size, entries, hashes

    def take_over(self) -> None:
        """Answer for the incomplete tiles that earlier writers left: `prune` removes what nobody needs.

        Those of the present size, which `load` found, stay until the next `sync`. The others may have been
        spoiled by a power cut.
        """
        found = (Path(root, name) for root, _, names in os.walk(self._directory / TILES) for name in names)
        self._partial.update(path for path in found if path.parent.suffix == ".p")
        self._pinned = {path for path in self._partial if self._current(path)}

    def assume(self, size: int) -> None:
        """Continue a tree of this size whose hashes are lost: zeros stand for them, and prove nothing."""
        self.size, self._hashes = size, {0: []}
        self._entries = [bytes(HASH_BYTES)] * (size % TILE_WIDTH)
        level, above = 0, size
        while above:
            self._hashes[level] = [bytes(HASH_BYTES)] * (above % TILE_WIDTH)
            level, above = level + 1, above >> TILE_HEIGHT

    def fits(self, frontier: Frontier) -> bool:
        """Whether what is held leads to this frontier."""
        found = Frontier()
        for level in sorted(self._hashes):
            peaks = Frontier().extend(self._hashes[level]).frontier.peaks
            padded = found.peaks + (b"",) * (level * TILE_HEIGHT - len(found.peaks))
            found = Frontier(0, padded + peaks)
        return self.size == frontier.size and found.pack() == frontier.pack()

    def feed(
        self, entries: Sequence[bytes], leaves: Sequence[bytes], boundary: Mapping[int, Sequence[bytes]]
    ) -> None:
        """Take the next entries, their leaf hashes, and the nodes that `Frontier.extend` completed with
        them."""
        self.size += len(entries)
        self._entries.extend(entries)
        self._hashes[0].extend(leaves)
        for level, nodes in boundary.items():
            self._hashes.setdefault(level // TILE_HEIGHT, []).extend(nodes)

    def write_complete(self) -> None:
        """Write the tiles that have filled. OSError: call again, nothing is forgotten."""
        while len(self._entries) >= TILE_WIDTH:
            index = (self.size - len(self._entries)) // TILE_WIDTH
            self._put(tile_path(self._directory, ENTRIES, index), pack_entries(self._entries[:TILE_WIDTH]))
            del self._entries[:TILE_WIDTH]
        for level, hashes in self._hashes.items():
            while len(hashes) >= TILE_WIDTH:
                index = ((self.size >> level * TILE_HEIGHT) - len(hashes)) // TILE_WIDTH
                self._put(tile_path(self._directory, level, index), b"".join(hashes[:TILE_WIDTH]))
                del hashes[:TILE_WIDTH]

    def write_partial(self) -> None:
        """Write the incomplete tiles of the present size, so that a checkpoint of it can be published."""
        held: list[tuple[int | str, int, bytes, int]] = []
        held.append((ENTRIES, 0, pack_entries(self._entries), len(self._entries)))
        held += [
            (level, level * TILE_HEIGHT, b"".join(hashes), len(hashes))
            for level, hashes in self._hashes.items()
        ]
        for level, shift, content, width in held:
            if width:
                path = tile_path(self._directory, level, (self.size >> shift) // TILE_WIDTH, width)
                self._put(path, content)
                self._partial.add(path)

    def prune(self) -> None:
        """Remove the incomplete tiles of sizes before the present one, once a checkpoint of it is
        published."""
        for path in [path for path in self._partial - self._pinned if not self._current(path)]:
            self._partial.discard(path)
            self._disk.unlink(path)
            with contextlib.suppress(OSError):
                path.parent.rmdir()  # refused, rightly, while it holds a newer incomplete tile

    def _current(self, path: Path) -> bool:
        widths = {ENTRIES: len(self._entries)} | {
            str(level): len(held) for level, held in self._hashes.items()
        }
        level = path.relative_to(self._directory / TILES).parts[0]
        width = widths.get(level, 0)
        if not width:
            return False
        shift = 0 if level == ENTRIES else int(level) * TILE_HEIGHT
        return path == tile_path(self._directory, level, (self.size >> shift) // TILE_WIDTH, width)

    def _put(self, path: Path, content: bytes) -> None:
        with contextlib.suppress(FileNotFoundError):
            if path.read_bytes() == content:
                self._written.append(path)  # by an earlier writer, perhaps, that was killed before its `sync`
                return
        self._disk.make_directory(path.parent, durable=False)  # `sync` comes to it
        self._disk.install(path, content, durable=False)
        self._written.append(path)
        self.written_bytes += len(content)

    def sync(self) -> None:
        """Make durable what was written since the last call.

        The incomplete tiles of this moment stay until the next call: should the machine fail, `load` needs
        them.
        """
        written, self._written = self._written, []
        for path in dict.fromkeys(written):
            with contextlib.suppress(FileNotFoundError):  # an incomplete one, outgrown and removed
                self._sync_file(path)
        top = self._directory / TILES
        parents = {parent for path in written for parent in path.parents if parent.is_relative_to(top)}
        for parent in sorted(parents, reverse=True):  # the contents first, then the names that lead there
            with contextlib.suppress(FileNotFoundError):
                self._disk.sync_directory(parent)
        self._pinned = {path for path in self._partial if self._current(path)}

    def _sync_file(self, path: Path) -> None:
        descriptor = self._disk.open(path)
        try:
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
