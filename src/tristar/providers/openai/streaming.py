"""The events of OpenAI's streams, read and written."""

import copy
from collections.abc import Sequence
from typing import Self

import msgspec

from tristar.providers.fields import NULL, UNREADABLE, encode
from tristar.providers.neutral import CallPiece, Json, Piece, Thinking, Usage
from tristar.providers.openai.answering import extra_of, write_thought
from tristar.providers.openai.content import Content, Extra, signature_of, text_of, thoughts_of
from tristar.providers.openai.usage import Counts, read_usage, write_usage

DONE = b"data: [DONE]\n\n"
_EMPTY = frozenset({b"null", b"[]"})


class _Delta(msgspec.Struct, gc=False):
    """What one chunk adds. A field that is absent or null adds nothing."""

    content: Content = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Counts | None = None
    error: msgspec.Raw = NULL


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallPart(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Extra | None = None


_decoder = msgspec.json.Decoder(_Chunk)
_calls = msgspec.json.Decoder(list[_CallPart])


class ChunkReader:
    """See `StreamReader`."""

    __slots__ = ("_ahead", "_chunk", "_model", "_open", "is_finished")

    def __init__(self) -> None:
        self._open: dict[int, bool] = {}
        self._model: str | None = None
        self._ahead: bytes | None = None
        self._chunk = _Chunk()
        """What was found in `_ahead`, the first data that `read_texts` did not read."""
        self.is_finished = False
        """See `StreamReader.is_finished`: every choice has its finish reason."""

    def read(self, data: bytes) -> Piece:
        """See `StreamReader.read`."""
        if data == b"[DONE]":
            return Piece(done=True)
        chunk = self._chunk if data is self._ahead else _decoder.decode(data)
        if chunk.error is not NULL and bytes(chunk.error) != b"null":
            return Piece(error=data)
        piece = Piece()
        piece.model = chunk.model
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            piece.usage = read_usage(chunk.usage)
        for choice in chunk.choices or ():
            self._read_choice(choice, piece)
        return piece

    def read_texts(self, events: Sequence[bytes], start: int) -> list[str]:
        """See `StreamReader.read_texts`: chunks of one choice, the first, which have content and no end."""
        texts: list[str] = []
        if self.is_finished:
            return texts
        decode, model = _decoder.decode, self._model
        try:
            for data in events[start:] if start else events:
                chunk = decode(data)
                if (
                    chunk.usage is not None
                    or chunk.error is not NULL
                    or chunk.model != model
                    or not (choices := chunk.choices)
                    or len(choices) > 1
                    or (choice := choices[0]).index
                    or choice.finish_reason is not None
                    or (delta := choice.delta) is None
                    or not (text := delta.content)
                    or not isinstance(text, str)
                    or delta.tool_calls is not NULL
                    or delta.reasoning_content
                    or delta.reasoning
                    or delta.refusal
                    or delta.function_call is not NULL
                    or delta.audio is not NULL
                ):
                    self._ahead, self._chunk = data, chunk
                    break
                texts.append(text)
        except UNREADABLE:
            pass  # `read` will say what is wrong with it
        if texts and 0 not in self._open:
            self._begin(0)
        return texts

    def _begin(self, index: int) -> None:
        self._open[index], self.is_finished = True, False

    def _read_choice(self, choice: _Choice, piece: Piece) -> None:
        if choice.finish_reason is not None:
            piece.is_output = True
            piece.finish = choice.finish_reason
            self._open[choice.index] = False
            self.is_finished = not any(self._open.values())
        elif choice.index not in self._open:
            self._begin(choice.index)
        if choice.index:
            piece.opaque = True
        delta = choice.delta
        if delta is None:
            return
        if isinstance(delta.content, str) and delta.content:
            piece.is_output = True
            piece.text = delta.content
            if delta.tool_calls is delta.function_call is delta.audio is NULL and not (
                delta.reasoning_content or delta.reasoning or delta.refusal
            ):
                return
        _read_rest(delta, piece)


def _read_rest(delta: _Delta, piece: Piece) -> None:
    """What a chunk may hold beside a text."""
    if delta.content and not piece.text:
        piece.text = text_of(delta.content)
        piece.is_output = True
    thinking = delta.reasoning_content or delta.reasoning or thoughts_of(delta.content)
    if thinking:
        piece.is_output, piece.thinking = True, thinking
    if delta.refusal:
        piece.is_output, piece.refusal = True, delta.refusal
    if delta.tool_calls is not NULL and bytes(delta.tool_calls) not in _EMPTY:
        piece.is_output = True
        _read_calls(delta.tool_calls, piece)
    for raw in (delta.function_call, delta.audio):
        if raw is not NULL and bytes(raw) not in _EMPTY:
            piece.is_output = piece.opaque = True


def _read_calls(raw: msgspec.Raw, piece: Piece) -> None:
    try:
        parts = _calls.decode(raw)
    except UNREADABLE:
        piece.opaque = True  # to a client of the same format it may mean something
        return
    piece.calls = [
        CallPiece(
            part.index if part.index is not None else place,
            part.id or None,
            (part.function.name if part.function else None) or None,
            (part.function.arguments if part.function else None) or "",
            signature_of(part.extra_content),
        )
        for place, part in enumerate(parts)
    ]


class ChunkWriter:
    """See `StreamWriter`: chat completion chunks."""

    position = 0

    def __init__(self, answer_id: str, created: int, *, wants_usage: bool) -> None:
        self._base: Json = {
            "id": answer_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": "",
        }
        self._wants_usage = wants_usage
        self._begun = False
        self._thoughts = ""
        """Thoughts whose signature has not come."""
        self._signed = 0
        """How many blocks of signed thoughts were told."""

    def passed(self, event: bytes, piece: Piece) -> bytes:
        """See `StreamWriter.passed`."""
        self._begun = True
        if piece.usage is None:
            return event
        if piece.is_mere_usage() and not self._wants_usage:
            return b""
        return event

    def passes_texts(self) -> bool:
        """See `StreamWriter.passes_texts`: chunks do not depend on each other."""
        self._begun = True
        return True

    def write(self, piece: Piece) -> bytes:
        """See `StreamWriter.write`."""
        if piece.model is not None:
            self._base = {**self._base, "model": piece.model}
        events = []
        delta = _delta(piece)
        if piece.thinking:
            self._thoughts += piece.thinking
        if piece.signature or piece.redacted:
            delta["thinking_blocks"] = [self._block(piece)]
        if delta and not self._begun:
            self._begun = True
            delta = {"role": "assistant"} | delta
        if delta:
            events.append(
                self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
            )
        if piece.finish is not None:
            events.append(
                self._chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": piece.finish}])
            )
        if piece.usage is not None and self._wants_usage:
            events.append(self._chunk([], usage=write_usage(piece.usage)))
        return b"".join(events)

    def end(self, counted: Usage) -> bytes:
        """See `StreamWriter.end`: without a provider's count none is given."""
        del counted
        return DONE

    def branch(self) -> Self:
        """See `StreamWriter.branch`."""
        return copy.copy(self)

    def _block(self, piece: Piece) -> Json:
        """A block of signed thoughts, whole: their text came before as `reasoning_content`."""
        told = (
            Thinking(redacted=piece.redacted) if piece.redacted else Thinking(self._thoughts, piece.signature)
        )
        self._thoughts, self._signed = "", self._signed + 1
        return {"index": self._signed - 1, **write_thought(told)}

    def _chunk(self, choices: list[Json], **more: Json) -> bytes:
        return b"data: " + encode({**self._base, "choices": choices, **more}) + b"\n\n"


def _delta(piece: Piece) -> Json:
    delta: Json = {}
    if piece.thinking:
        delta["reasoning_content"] = piece.thinking
    if piece.text:
        delta["content"] = piece.text
    if piece.refusal:
        delta["refusal"] = piece.refusal
    if piece.calls:
        delta["tool_calls"] = [_call(call) for call in piece.calls]
    return delta


def _call(call: CallPiece) -> Json:
    function: Json = {"arguments": call.arguments}
    if call.name is not None:
        function = {"name": call.name, **function}
    extra = extra_of(call.signature)
    if call.call_id is None:
        return {"index": call.index, "function": function} | extra
    return {"index": call.index, "id": call.call_id, "type": "function", "function": function} | extra
