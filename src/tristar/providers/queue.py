"""Parallel tool calls one after the other, for surfaces that have one block open at a time."""

import msgspec

from tristar.errors import UpstreamBroken
from tristar.providers.fields import UNREADABLE, read_fields
from tristar.providers.neutral import CallPiece

MAX_HELD_CHARS = 2**20
"""So much of the calls whose turn has not come is kept; a stream that mixes more is broken."""

_MAX_LOOKS = 32
"""So often a call is looked at for its end; then it lasts until the answer's."""


class _Call:
    """One call: what waits for its turn, and all its arguments so far."""

    __slots__ = ("arguments", "call_id", "ended", "index", "looks", "name", "signature")

    def __init__(self, first: CallPiece) -> None:
        self.index = first.index
        self.call_id = first.call_id
        self.name = first.name
        self.signature = first.signature
        self.arguments: list[str] = [first.arguments]
        self.ended = False
        self.looks = _MAX_LOOKS

    def add(self, piece: CallPiece) -> None:
        self.name = self.name or piece.name
        self.signature = self.signature or piece.signature
        self.arguments.append(piece.arguments)

    def waiting(self) -> CallPiece:
        """Everything so far, as one piece."""
        return CallPiece(self.index, self.call_id, self.name, "".join(self.arguments), self.signature)

    def is_whole(self) -> bool:
        """Whether its arguments are a JSON object, to which nothing can be added."""
        self.arguments = ["".join(self.arguments)]
        text = self.arguments[0]
        if not self.looks or not text.rstrip().endswith("}"):
            return False
        self.looks -= 1
        try:
            read_fields(msgspec.Raw(text.encode()))
        except UNREADABLE:
            return False
        return True


class CallQueue:
    """Takes the pieces of calls as an upstream mixes them; gives those whose turn it is.

    The first call goes through piece by piece. One that begins while another's arguments are not whole waits
    until they are, or until `flush`. What comes out is a piece, and whether its call begins with it.
    """

    __slots__ = ("_by_index", "_held_chars", "_queue")

    def __init__(self) -> None:
        self._by_index: dict[int, _Call] = {}
        self._queue: list[_Call] = []
        """The calls that are not over; the first is open."""
        self._held_chars = 0

    def __bool__(self) -> bool:
        """Whether there was a call."""
        return bool(self._by_index)

    def add(self, piece: CallPiece) -> list[tuple[CallPiece, bool]]:
        """One piece more.

        Raises:
            UpstreamBroken: it adds to a call that is over, or more waits than can be kept.
        """
        call = self._by_index.get(piece.index)
        if call is None or (piece.name and piece.call_id not in {None, call.call_id}):
            return self._begin(piece)
        if call.ended:
            if piece.arguments.strip():
                raise UpstreamBroken("The upstream adds to the arguments of a tool call that is over.")
            return []
        call.add(piece)
        if call is self._queue[0]:
            return [(piece, False)]
        self._hold(piece)
        return self._advance()

    def _begin(self, piece: CallPiece) -> list[tuple[CallPiece, bool]]:
        call = self._by_index[piece.index] = _Call(piece)
        self._queue.append(call)
        if self._queue[0] is call:
            return [(piece, True)]
        self._hold(piece)
        return self._advance()

    def _hold(self, piece: CallPiece) -> None:
        self._held_chars += len(piece.arguments)
        if self._held_chars > MAX_HELD_CHARS:
            raise UpstreamBroken("The upstream mixes the arguments of tool calls that are too long to keep.")

    def _advance(self) -> list[tuple[CallPiece, bool]]:
        """Open one waiting call after the other, as long as the one before it is over."""
        ready = []
        while len(self._queue) > 1 and self._is_over(self._queue[0]):
            self._queue.pop(0).ended = True
            ready.append((self._queue[0].waiting(), True))
        return ready

    def _is_over(self, call: _Call) -> bool:
        return self._by_index[call.index] is not call or call.is_whole()

    def flush(self) -> list[tuple[CallPiece, bool]]:
        """All calls are over: what still waits."""
        ready = [(call.waiting(), True) for call in self._queue[1:]]
        for call in self._queue:
            call.ended = True
        self._queue = []
        return ready
