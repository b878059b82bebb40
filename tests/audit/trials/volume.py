"""What a disk may hold after a power cut, from the system calls before it.

The model is as strict as POSIX: of a file there is for certain what a completed sync of it covered, of a
directory the names that a completed sync of it covered. Everything later may be there or not; of a write any
part, in sectors of 512 bytes, those sectors of it that are missing being zeros where the file was shorter.
Names change in their order within one directory, a rename at once.
"""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit.trials.calls import Call

SECTOR_BYTES = 512
HOW = ("least", "most", "torn", "scattered")


@dataclass(frozen=True, slots=True)
class Change:
    """What one call did: bytes at an offset (None: the file was cut to this size), or names."""

    end: int
    offset: int = 0
    data: bytes | None = None
    names: tuple[tuple[str, "Node | None"], ...] = ()


@dataclass(eq=False, slots=True)
class Node:
    """A file or a directory: what is certain, and what is not yet."""

    directory: bool = False
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)


class Volume:
    """The tree under one folder, which is there from the beginning; calls outside it are no concern."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._top = Node(directory=True)
        self._now: dict[str, Node] = {self._root: self._top}
        self._certain: dict[str, Node] = {self._root: self._top}
        self._open: dict[int, Node] = {}

    def play(self, calls: Iterable[Call]) -> None:
        """Take in calls, in the order in which they ended."""
        for call in calls:
            if call.ok or call.result is None:
                play = getattr(self, f"_{call.name}", None)
                if play is not None:
                    play(call)

    # --- one method for each call that matters

    def _openat(self, call: Call) -> None:
        path = call.strings[0].decode()
        if call.result is None or (not path.startswith(f"{self._root}/") and path != self._root):
            return
        if path not in self._now:
            self._change_names(path, ((path, Node()),), call.end)
        self._open[call.result] = self._now[path]

    def _close(self, call: Call) -> None:
        self._open.pop(call.descriptor, None)

    def _pwrite64(self, call: Call) -> None:
        self._written(call, call.numbers[-1])

    def _write(self, call: Call) -> None:
        node = self._open.get(call.descriptor)
        if node is not None:
            self._written(call, len(_after(node.durable, node.pending)))

    def _written(self, call: Call, offset: int) -> None:
        node = self._open.get(call.descriptor)
        if node is not None:
            data = call.strings[0][: call.result]
            node.pending.append(Change(call.end, offset, data))

    def _ftruncate(self, call: Call) -> None:
        if call.descriptor in self._open:
            self._open[call.descriptor].pending.append(Change(call.end, call.numbers[-1]))

    def _fallocate(self, call: Call) -> None:
        node = self._open.get(call.descriptor)
        if node is not None:
            size = len(_after(node.durable, node.pending))
            node.pending.append(Change(call.end, size, bytes(max(0, call.numbers[-1] - size))))

    def _fsync(self, call: Call) -> None:
        node = self._open.get(call.descriptor)
        if node is None or call.result is None:
            return
        covered = [change for change in node.pending if change.end < call.start]
        node.pending = [change for change in node.pending if change.end >= call.start]
        node.durable = _after(node.durable, covered)
        for change in covered:
            _rename(self._certain, change)

    _fdatasync = _fsync

    def _rename(self, call: Call) -> None:
        source, target = (path.decode() for path in call.strings[:2])
        if source in self._now:
            self._change_names(target, ((target, self._now[source]), (source, None)), call.end)

    def _link(self, call: Call) -> None:
        source, target = (path.decode() for path in call.strings[:2])
        if source in self._now:
            self._change_names(target, ((target, self._now[source]),), call.end)

    def _unlink(self, call: Call) -> None:
        path = call.strings[0].decode()
        if path in self._now:
            self._change_names(path, ((path, None),), call.end)

    _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        path = call.strings[0].decode()
        if path.startswith(f"{self._root}/"):
            self._change_names(path, ((path, Node(directory=True)),), call.end)

    def _change_names(self, path: str, names: tuple[tuple[str, Node | None], ...], end: int) -> None:
        change = Change(end, names=names)
        _rename(self._now, change)
        self._now[path.rpartition("/")[0]].pending.append(change)

    # --- the power cut

    def left(self, how: str, chance: random.Random) -> dict[str, bytes | None]:
        """One of the states that may be found: contents by path, None for a directory."""
        names = dict(self._certain)
        for node in sorted(set(self._now.values()) | set(self._certain.values()), key=id):
            if node.directory:
                for change in node.pending[: _how_many(how, len(node.pending), chance)]:
                    _rename(names, change)
        found: dict[str, bytes | None] = {}
        for path in sorted(names):
            if all(
                str(parent) in names for parent in Path(path).parents if len(str(parent)) >= len(self._root)
            ):
                node = names[path]
                found[path] = None if node.directory else bytes(_content(node, how, chance))
        return found


def _rename(names: dict[str, Node], change: Change) -> None:
    for path, node in change.names:
        if node is None:
            names.pop(path, None)
        else:
            names[path] = node


def _how_many(how: str, of: int, chance: random.Random) -> int:
    return {"least": 0, "most": of}.get(how, chance.randint(0, of))


def _after(content: bytearray, changes: Iterable[Change]) -> bytearray:
    result = bytearray(content)
    for change in changes:
        _apply(result, change)
    return result


def _apply(content: bytearray, change: Change) -> None:
    if change.names:
        return
    if change.data is None:
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def _content(node: Node, how: str, chance: random.Random) -> bytearray:
    if how != "scattered":
        kept = _how_many(how, len(node.pending), chance)
        content = _after(node.durable, node.pending[:kept])
        if how == "torn" and kept < len(node.pending):
            _apply(content, _torn(node.pending[kept], chance))
        return content
    content = bytearray(node.durable)
    for change in node.pending:
        for part in _sectors(change):
            if chance.random() < 0.5:
                _apply(content, part)
    return content


def _torn(change: Change, chance: random.Random) -> Change:
    """The beginning of a write, up to some sector's edge."""
    if change.data is None:
        return change
    sectors = list(_sectors(change))
    kept = sectors[: chance.randint(0, len(sectors))]
    return Change(change.end, change.offset, b"".join(part.data or b"" for part in kept))


def _sectors(change: Change) -> Iterable[Change]:
    """A write as the writes of its sectors."""
    if change.data is None:
        yield change
        return
    start, end = change.offset, change.offset + len(change.data)
    edges = [start, *range((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES), end]
    for a, b in itertools.pairwise(edges):
        yield Change(change.end, a, change.data[a - start : b - start])
