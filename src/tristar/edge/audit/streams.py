"""Answers that take their time: exports as they are made, verifications with their progress."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, Literal

from tristar.audit.bureau import Exported, Progress

Packing = Literal["none", "gzip", "zstd"]

_TYPES: Final = {
    "jsonl": "application/x-ndjson",
    "ecs": "application/x-ndjson",
    "ocsf": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_TEXT: Final = "text/plain; charset=utf-8"
_PACKED: Final = {"gzip": ("application/gzip", ".gz"), "zstd": ("application/zstd", ".zst")}
_SUFFIXES: Final = {"jsonl": "jsonl", "parquet": "parquet"}

EXPORT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The records, as a file.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in sorted({*_TYPES.values(), "text/plain", *(kind for kind, _ in _PACKED.values())})
        },
    }
}
VERIFY_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The report; in JSON lines where progress was asked for.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    }
}


def content_type(form: str, packing: Packing) -> str:
    """What kind of file an export is."""
    return _TYPES.get(form, _TEXT) if packing == "none" else _PACKED[packing][0]


def file_name(form: str, packing: Packing) -> str:
    """What a browser calls it."""
    return f"audit.{_SUFFIXES.get(form, form)}{'' if packing == 'none' else _PACKED[packing][1]}"


class Outgoing:
    """An export on its way out; the last piece is held back until its record is durable."""

    def __init__(self, pieces: AsyncGenerator[bytes | Exported, None]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._exported: Exported | None = None
        self.last = b""

    async def first(self) -> bytes:
        """The first piece: what goes wrong from the beginning shows here. Raises as `Bureau`."""
        piece = await anext(self._pieces)
        if isinstance(piece, bytes):
            return piece
        self._exported = piece
        return b""

    async def after(self, first: bytes) -> AsyncIterator[bytes]:
        """Every piece but the last, which is in `last` at the end."""
        self._keep(first)
        async with contextlib.aclosing(self._pieces):
            async for piece in self._pieces:
                if isinstance(piece, Exported):
                    self._exported = piece
                    continue
                ready = self.last
                self._keep(piece)
                yield ready

    def told(self) -> dict[str, object]:
        """What was exported, for the record of it."""
        held = self._exported or Exported(0, None, None, None)
        return {
            "count": held.count,
            "first": held.first and held.first["seq"],
            "last": held.last and held.last["seq"],
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest(),
        }

    def _keep(self, piece: bytes) -> None:
        self.last = piece
        self._bytes += len(piece)
        self._digest.update(piece)


class Watched:
    """Work whose progress can be followed; it is broken off if nobody waits for it any more."""

    def __init__(self, work: Callable[[Progress], Awaitable[dict[str, Any]]]) -> None:
        self._told: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()
        self._task = asyncio.ensure_future(work(self._note))
        self._task.add_done_callback(lambda _: self._told.put_nowait(None))
        self._first: tuple[int, int] | None = None

    async def begun(self) -> None:
        """Wait for the first word. Raises what went wrong before it."""
        self._first = await self._told.get()
        if self._first is None:
            self._told.put_nowait(None)
            await self.result()

    async def progress(self) -> AsyncIterator[tuple[int, int]]:
        """How much is done, of how much, until the work ends."""
        try:
            told = self._first or await self._told.get()
            while told is not None:
                yield told
                told = await self._told.get()
        finally:
            if not self._task.done():
                self._task.cancel()

    async def result(self) -> dict[str, Any]:
        """What came of it. Raises as the work did."""
        try:
            return await self._task
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    def _note(self, done: int, total: int) -> None:
        self._told.put_nowait((done, total))
