"""The events of a response's stream, as an upstream of its own sends them, read."""

from collections.abc import Sequence

import msgspec

from tristar.providers.fields import NULL, encode, is_absent
from tristar.providers.neutral import CallPiece, Finish, Piece
from tristar.providers.responses.usage import Counts, read_usage

_TEXTS = {
    "response.output_text.delta": "text",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
    "response.refusal.delta": "refusal",
}
"""Which field of a piece an event adds to."""

KNOWN_OUTPUT = frozenset({"message", "function_call", "reasoning"})


class _Item(msgspec.Struct):
    type: str = ""
    id: str = ""
    call_id: str | None = None
    name: str | None = None


class _Details(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    """The known fields of a response, whole or as the last event of a stream shows it."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    usage: Counts | None = None
    incomplete_details: _Details | None = None
    error: msgspec.Raw = NULL

    @property
    def finish(self) -> Finish | None:
        """The neutral reason; None while it is not over."""
        if self.status == "incomplete":
            reason = self.incomplete_details.reason if self.incomplete_details else None
            return "content_filter" if reason == "content_filter" else "length"
        if self.status != "completed":
            return None
        return "tool_calls" if any(item.type == "function_call" for item in self.output or ()) else "stop"


class _Event(msgspec.Struct):
    type: str
    output_index: int | None = None
    delta: msgspec.Raw = NULL
    item: _Item | None = None
    response: Response | None = None


_decoder = msgspec.json.Decoder(_Event)
_text = msgspec.json.Decoder(str)


class EventReader:
    """See `StreamReader`. The last event holds the whole response, and ends the stream."""

    __slots__ = ("_calls", "_finished")

    def __init__(self) -> None:
        self._finished = False
        self._calls: dict[int, int] = {}
        """The number of each call among the calls, by its place in the output."""

    @property
    def is_finished(self) -> bool:
        """See `StreamReader.is_finished`."""
        return self._finished

    def read_texts(self, events: Sequence[bytes], start: int) -> list[str]:
        """See `StreamReader.read_texts`: none is known."""
        del events, start
        return []

    def read(self, data: bytes) -> Piece:
        """See `StreamReader.read`; kinds of events that are not known say nothing."""
        event = _decoder.decode(data)
        match event.type:
            case "response.function_call_arguments.delta":
                return self._read_arguments(event)
            case "response.output_item.added" if event.item is not None:
                return self._read_item(event, event.item)
            case "response.output_item.done":
                return Piece(closes=event.output_index)
            case "response.created":
                response = event.response or Response()
                return Piece(model=response.model, begins=True, named=response.id)
            case "response.completed" | "response.incomplete":
                return self._read_end(event.response or Response())
            case "response.failed" | "error":
                return Piece(error=_failure(event.response) if event.response else data)
        return _read_delta(event)

    def _read_arguments(self, event: _Event) -> Piece:
        number = self._calls.get(event.output_index or 0)
        calls = [] if number is None else [CallPiece(number, arguments=_string(event))]
        return Piece(calls=calls, is_output=bool(calls), within=event.output_index)

    def _read_item(self, event: _Event, item: _Item) -> Piece:
        piece = Piece(opens=event.output_index, named=item.id, kind=item.type)
        if item.type == "function_call":
            number = self._calls[event.output_index or 0] = len(self._calls)
            piece.calls = [CallPiece(number, item.call_id, item.name)]
            piece.is_output = True
        elif item.type not in KNOWN_OUTPUT:
            piece.is_output = piece.opaque = True
        return piece

    def _read_end(self, response: Response) -> Piece:
        self._finished = True
        return Piece(
            finish=response.finish or "stop",
            usage=read_usage(response.usage),
            model=response.model,
            is_output=True,
            done=True,
        )


def _read_delta(event: _Event) -> Piece:
    """What an event of text adds; of other kinds nothing can be told but that there is output."""
    is_output = event.type.endswith(".delta")
    piece = Piece(is_output=is_output, within=event.output_index if is_output else None)
    name = _TEXTS.get(event.type)
    if name is None:
        piece.opaque = is_output
    else:
        setattr(piece, name, _string(event))
    return piece


def _string(event: _Event) -> str:
    return "" if is_absent(event.delta) else _text.decode(event.delta)


def _failure(response: Response) -> bytes:
    """The error of a response that failed, in the envelope that errors come in elsewhere."""
    told = msgspec.Raw(b"{}") if is_absent(response.error) else response.error
    return encode({"error": told})
