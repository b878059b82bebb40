"""The requests in progress, in a file that outlives the process that serves them.

A memory-mapped file survives `kill -9` of its process without a system call per request: what
was written to the mapping is in the page cache. Whoever reads a dead process's table learns which
requests it had begun and not recorded.

Layout: 64 bytes of header (magic, number of slots), one state byte per slot, then the cells of
`CELL_BYTES` each: a 2-byte length and a MessagePack array of that length.
"""

import contextlib
import fcntl
import mmap
import os
import struct
from pathlib import Path

import msgspec

from tristar.audit import redact
from tristar.errors import TriStarError, Unavailable
from tristar.exchange import Exchange

MAGIC = b"TRISTAR-SLOTS-1\n"
HEADER_BYTES = 64
CELL_BYTES = 512
SLOTS = 32_768
BLOCK = 1024
"""So many slots get their space on the disk at a time."""
RESOURCE_LIMIT = 200

FREE, OPEN, CLOSING, UNAUDITED, INTERNAL = 0, 1, 2, 3, 4
UNRECORDED = bytes([OPEN, CLOSING, INTERNAL])
"""The states of audited requests whose records are not known to be durable."""

_LENGTH = struct.Struct("<H")


class Begun(msgspec.Struct, array_like=True):
    """What is kept of a request in progress."""

    event_id: str
    trace_id: str
    action: str
    method: str
    resource: str
    endpoint: str
    started_at: float
    ip_address: str | None
    actor: str | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Begun)


class SlotTable:
    """The table of one serving process; it writes, others may only read. One thread.

    Without `addresses` it keeps no client's: the name under which it could be erased is not known yet.
    """

    def __init__(self, path: Path, slots: int = SLOTS, *, addresses: bool = True) -> None:
        self.path = path
        self._addresses = addresses
        size = HEADER_BYTES + slots + slots * CELL_BYTES
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held as long as this process lives
        os.ftruncate(descriptor, size)  # sparse: only the blocks in use take space
        self._descriptor = descriptor
        # A page that the disk has no room for when it is first written to would end the process (SIGBUS).
        os.posix_fallocate(descriptor, 0, HEADER_BYTES + slots)
        self._map = mmap.mmap(descriptor, size)
        self._map[:HEADER_BYTES] = MAGIC + _header(slots)
        self._cells = HEADER_BYTES + slots
        self._slots = slots
        self._roomy = 0
        self._free: list[int] = []
        self._grow()

    def take(self, exchange: Exchange) -> int:
        """Enter a request and return its slot.

        Raises:
            Unavailable: every slot is taken, or the disk has no room for more of them.
        """
        if not self._free and not self._can_grow():
            raise Unavailable("Too many requests are in progress here; retry in a moment.", retry_after_s=1)
        slot = self._free.pop()
        begun = Begun(
            exchange.event_id,
            exchange.trace_id,
            exchange.action,
            exchange.method,
            exchange.resource if exchange.resource == exchange.endpoint else _cleaned(exchange.resource),
            exchange.endpoint,
            exchange.started_at,
            exchange.ip_address if self._addresses else None,
            exchange.actor,
        )
        cell = _encoder.encode(begun)[: CELL_BYTES - _LENGTH.size]
        at = self._cells + slot * CELL_BYTES
        self._map[at : at + 2 + len(cell)] = _LENGTH.pack(len(cell)) + cell
        self._map[HEADER_BYTES + slot] = _state(exchange)
        return slot

    def _can_grow(self) -> bool:
        try:
            self._grow()
        except OSError:
            return False
        return bool(self._free)

    def _grow(self) -> None:
        """Make the next block of slots usable, if there is one; `OSError` where the disk is full."""
        block = range(self._roomy, min(self._roomy + BLOCK, self._slots))
        if not block:
            return
        at = self._cells + block.start * CELL_BYTES
        os.posix_fallocate(self._descriptor, at, len(block) * CELL_BYTES)
        self._roomy = block.stop
        self._free = list(reversed(block))

    def retire(self, slot: int) -> None:
        """The request has ended, but its record is not durable yet."""
        self._map[HEADER_BYTES + slot] = CLOSING

    def dismiss(self, slot: int) -> None:
        """The request has ended and gets no record; the slot is still to be cleared."""
        self._map[HEADER_BYTES + slot] = FREE

    def clear(self, slot: int) -> None:
        """The request is recorded; the slot is free."""
        self._map[HEADER_BYTES + slot] = FREE
        self._free.append(slot)

    def active(self) -> int:
        """Requests in progress now that came over a connection."""
        return _active(self._map, self._cells)

    def close(self) -> None:
        """Let go of the file, and remove it where every request of this process is recorded."""
        is_done = not any(state in self._map[HEADER_BYTES : self._cells] for state in UNRECORDED)
        self._map.close()
        if is_done:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


class SlotReader:
    """Another process's table, alive or dead."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[: len(MAGIC)] != MAGIC:
            raise TriStarError(f"{path} is not a table of requests in progress")
        (slots,) = struct.unpack_from("<I", self._map, len(MAGIC))
        self._cells = HEADER_BYTES + slots

    def active(self) -> int:
        """Requests in progress now that came over a connection."""
        return _active(self._map, self._cells)

    def unrecorded(self) -> list[tuple[int, Begun]]:
        """Slot and content of each audited request that was begun and whose record is not known durable."""
        states = self._map[HEADER_BYTES : self._cells]
        found = []
        for slot, state in enumerate(states):
            if state in UNRECORDED:
                at = self._cells + slot * CELL_BYTES
                (length,) = _LENGTH.unpack_from(self._map, at)
                try:
                    found.append((slot, _decoder.decode(self._map[at + 2 : at + 2 + length])))
                except msgspec.DecodeError:
                    continue  # killed between two writes: the request had not been answered a byte
        return found

    def begun(self) -> list[Begun]:
        """Audited requests in progress now; its process goes on meanwhile."""
        found = []
        slot = self._map.find(bytes([OPEN]), HEADER_BYTES, self._cells)
        while slot >= 0:
            at = self._cells + (slot - HEADER_BYTES) * CELL_BYTES
            (length,) = _LENGTH.unpack_from(self._map, at)
            with contextlib.suppress(msgspec.DecodeError):  # its process was just writing it
                found.append(_decoder.decode(self._map[at + 2 : at + 2 + length]))
            slot = self._map.find(bytes([OPEN]), slot + 1, self._cells)
        return found

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


def _cleaned(resource: str) -> str:
    """The path as a record would have it: clients write what they like into one."""
    return redact.text(resource)[:RESOURCE_LIMIT]


def _state(exchange: Exchange) -> int:
    if not exchange.audited:
        return UNAUDITED
    return INTERNAL if exchange.internal else OPEN


def _header(slots: int) -> bytes:
    return struct.pack("<I", slots).ljust(HEADER_BYTES - len(MAGIC), b"\0")


def _active(table: mmap.mmap, cells_at: int) -> int:
    states = table[HEADER_BYTES:cells_at]
    return states.count(OPEN) + states.count(UNAUDITED)
