"""The events of Anthropic's streams, read."""

from collections.abc import Sequence

import msgspec

from tristar.providers.anthropic.finish import read_finish
from tristar.providers.anthropic.usage import Counts, read_usage
from tristar.providers.neutral import CallPiece, Piece


class _Message(msgspec.Struct):
    model: str | None = None
    usage: Counts | None = None


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Counts | None = None


_decoder = msgspec.json.Decoder(_Event)


class EventReader:
    """See `StreamReader`."""

    __slots__ = ("_calls", "_counts", "_finished")

    def __init__(self) -> None:
        self._finished = False
        self._counts = Counts()
        self._calls: dict[int, int] = {}
        """The number of each call among the calls, by its block's index."""

    @property
    def is_finished(self) -> bool:
        """See `StreamReader.is_finished`: the stop reason is known."""
        return self._finished

    def read_texts(self, events: Sequence[bytes], start: int) -> list[str]:
        """See `StreamReader.read_texts`: none is known."""
        del events, start
        return []

    def read(self, data: bytes) -> Piece:
        """See `StreamReader.read`; kinds of events that are not known say nothing."""
        event = _decoder.decode(data)
        match event.type:
            case "content_block_delta" if event.delta is not None:
                return self._read_delta(event.index, event.delta)
            case "content_block_start" if event.content_block is not None:
                return self._read_block(event.index, event.content_block)
            case "content_block_stop":
                return Piece(closes=event.index)
            case "message_start":
                return self._read_start(event.message or _Message())
            case "message_delta":
                return self._read_end(event.delta or _Delta(), event.usage)
            case "message_stop":
                return Piece(done=True)
            case "error":
                return Piece(error=data)
        return Piece()

    def _read_start(self, message: _Message) -> Piece:
        if message.usage is not None:
            self._counts = message.usage
        return Piece(model=message.model, begins=True)

    def _read_block(self, index: int, block: _Block) -> Piece:
        piece = Piece(opens=index)
        match block.type:
            case "text":
                piece.text = block.text or ""
            case "thinking":
                piece.thinking, piece.signature = block.thinking or "", block.signature or ""
            case "redacted_thinking":
                piece.redacted = block.data or ""
            case "tool_use":
                number = self._calls[index] = len(self._calls)
                piece.calls = [CallPiece(number, block.id, block.name)]
            case _:
                piece.opaque = True
        piece.is_output = piece.opaque or piece.chars() > 0 or bool(piece.redacted)
        return piece

    def _read_delta(self, index: int, delta: _Delta) -> Piece:
        piece = Piece(within=index)
        match delta.type:
            case "text_delta":
                piece.text = delta.text or ""
            case "thinking_delta":
                piece.thinking = delta.thinking or ""
            case "signature_delta":
                piece.signature = delta.signature or ""
            case "input_json_delta" if index in self._calls:
                if delta.partial_json:
                    piece.calls = [CallPiece(self._calls[index], arguments=delta.partial_json)]
            case _:
                piece.opaque = True
        piece.is_output = piece.opaque or bool(piece.text or piece.thinking or piece.calls)
        return piece

    def _read_end(self, delta: _Delta, counts: Counts | None) -> Piece:
        piece = Piece(finish=read_finish(delta.stop_reason), stop_sequence=delta.stop_sequence)
        if piece.finish is not None:
            piece.is_output = self._finished = True
        if counts is not None:
            self._counts = self._counts.merged(counts)
            piece.usage = read_usage(self._counts)
        return piece
