"""Whether the files under `tile/` are the tree's hashes."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tristar.audit.gaps import Range
from tristar.audit.grove import Grove
from tristar.audit.tiles import ENTRIES, TILES, tile_path, unpack_entries
from tristar.audit.tree import TILE_HEIGHT, TILE_WIDTH, leaf_hash

Problem = tuple[str, str]
_Place = tuple[int | str, int]
"""A tile's level, or "entries", and its index."""


def check_tiles(
    directory: Path,
    grove: Grove,
    published: int,
    given_up: Sequence[Range],
    *,
    closed: bool,
    newest: Callable[[], int],
) -> Iterator[Problem]:
    """What is wrong with the stored tiles, as (file, problem).

    Those of the `published` size must all be there; or of what is the `newest` when they are looked for: a
    log that is written meanwhile replaces incomplete tiles by wider ones. In a log that is `closed` there are
    none beyond its size. Tiles over records that were given up prove nothing and are not looked at.
    """
    for path in sorted(_files(directory / TILES)):
        name = str(path.relative_to(directory))
        found = _parsed(path.relative_to(directory / TILES).parts)
        if found is None:
            if not path.name.startswith("."):
                yield name, "is no tile"
            continue
        level, index, width = found
        shift = _shift(level)
        if _touches(given_up, index * TILE_WIDTH << shift, (index * TILE_WIDTH + width) << shift):
            continue
        if index * TILE_WIDTH + width > grove.size >> shift:
            if closed:
                yield name, "goes beyond the log"
        elif not _right(path, level, index, width, grove):
            yield name, "is not what the records say"
    wanted = list(_wanted(published, given_up))
    while (wanted := _absent(directory, wanted, published)) and (now := newest()) > published:
        published = now
    for kind, index in wanted:
        yield str(tile_path(directory, kind, index).relative_to(directory)), "is missing"


def _files(folder: Path) -> Iterator[Path]:
    # Not by `rglob`, which fails where a folder of incomplete tiles is removed meanwhile.
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)


def _parsed(parts: tuple[str, ...]) -> tuple[str, int, int] | None:
    """Level, index and width by the file's place; None where there is no such place."""
    level, *groups = parts
    width = TILE_WIDTH
    if len(groups) > 1 and groups[-2].endswith(".p"):
        if not groups[-1].isdigit() or not 0 < int(groups[-1]) < TILE_WIDTH:
            return None
        width = int(groups.pop())
        groups[-1] = groups[-1].removesuffix(".p")
    digits = [group.removeprefix("x") for group in groups]
    if not (level == ENTRIES or level.isdigit()) or not all(d.isdigit() and len(d) == 3 for d in digits):
        return None
    index = int("".join(digits))
    return (level, index, width) if tile_path(Path(), level, index, width).parts[1:] == parts else None


def _right(path: Path, level: str, index: int, width: int, grove: Grove) -> bool:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return True  # an incomplete tile that was outgrown meanwhile
    first = index * TILE_WIDTH
    if level == ENTRIES:
        return _entries_right(raw, first, width, grove)
    if level == "0" and width == TILE_WIDTH and grove.scanned(index) and index not in grove.suspect:
        return True
    shift = int(level) * TILE_HEIGHT
    return raw == b"".join(grove.node(shift, at) for at in range(first, first + width))


def _entries_right(raw: bytes, first: int, width: int, grove: Grove) -> bool:
    if grove.scanned(first // TILE_WIDTH) and width == TILE_WIDTH:
        return True  # compared with the lines themselves
    try:
        entries = unpack_entries(raw)
    except ValueError:
        return False
    leaves = [leaf_hash(entry) for entry in entries]
    return leaves == [grove.leaf(seq) for seq in range(first, first + width)]


def _touches(ranges: Sequence[Range], first: int, end: int) -> bool:
    return any(a < end and first < b for a, b in ranges)


def _wanted(published: int, given_up: Sequence[Range]) -> Iterator[_Place]:
    levels: list[tuple[int | str, int]] = [(ENTRIES, published), (0, published)]
    level, above = 1, published >> TILE_HEIGHT
    while above:
        levels.append((level, above))
        level, above = level + 1, above >> TILE_HEIGHT
    for kind, count in levels:
        shift = _shift(kind)
        for index in range(-(-count // TILE_WIDTH)):
            if not _touches(given_up, index * TILE_WIDTH << shift, (index + 1) * TILE_WIDTH << shift):
                yield kind, index


def _absent(directory: Path, wanted: Sequence[_Place], published: int) -> list[_Place]:
    """Those that stand neither complete nor as wide as a tree of this size makes them."""
    absent = []
    for kind, index in wanted:
        width = min(TILE_WIDTH, (published >> _shift(kind)) - index * TILE_WIDTH)
        whole, partial = tile_path(directory, kind, index), tile_path(directory, kind, index, width)
        if not whole.exists() and not partial.exists():
            absent.append((kind, index))
    return absent


def _shift(kind: int | str) -> int:
    return 0 if kind == ENTRIES else int(kind) * TILE_HEIGHT
