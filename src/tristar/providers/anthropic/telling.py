"""The events of Anthropic's streams, written."""

import copy
from typing import Self

from tristar.providers.anthropic.finish import write_finish
from tristar.providers.anthropic.usage import write_usage
from tristar.providers.fields import encode
from tristar.providers.neutral import CallPiece, Finish, Json, Piece, Usage
from tristar.providers.queue import CallQueue
from tristar.providers.seal import CALL

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def event(kind: str, **told: object) -> bytes:
    """One server-sent event."""
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **told}) + b"\n\n"


class EventWriter:
    """See `StreamWriter`: one message, whose blocks come one after the other.

    As long as an upstream's own events are in order they pass; from the first that is not on (one before it
    was lost, or another llm has taken over) they are written anew.
    """

    position = 0

    def __init__(self, answer_id: str) -> None:
        self._id = answer_id
        self._model = ""
        self._begun = False
        self._anew = False
        self._open: int | None = None
        self._kind: str = ""
        self._next = 0
        self._calls = CallQueue()
        self._finish: Finish | None = None
        self._stop_sequence: str | None = None
        self._refused = False
        self._usage: Usage | None = None
        self._ended = False
        """Whether the client knows the stop reason."""

    def passes_texts(self) -> bool:
        """See `StreamWriter.passes_texts`: its order is kept by blocks."""
        return False

    def passed(self, event: bytes, piece: Piece) -> bytes:
        """See `StreamWriter.passed`."""
        if self._anew or not self._is_in_order(piece):
            self._anew = True
            return self.write(piece)
        self._begun = True
        if piece.opens is not None:
            self._open, self._next = piece.opens, piece.opens + 1
            self._kind = ""
        self._kind = _kind_of(piece) or self._kind
        for call in piece.calls:
            self._calls.add(call)
        if piece.closes is not None:
            self._open = None
            self._calls.flush()
        if piece.finish is not None:
            self._ended = True
        return event

    def _is_in_order(self, piece: Piece) -> bool:
        if piece.begins:
            return not self._begun
        if piece.opens is not None:
            return self._begun and self._open is None and piece.opens == self._next
        if piece.within is not None:
            return self._open == piece.within
        if piece.closes is not None:
            return self._open == piece.closes
        if piece.finish is not None:
            return self._begun and self._open is None
        return self._begun or not piece.is_output

    def write(self, piece: Piece) -> bytes:
        """See `StreamWriter.write`."""
        self._model = piece.model or self._model
        events: list[bytes] = []
        if piece.is_output or piece.begins:
            self._begin(events)
        if piece.thinking or piece.signature:
            self._think(piece, events)
        if piece.redacted:
            self._flush(events)
            self._start(events, "redacted", {"type": "redacted_thinking", "data": piece.redacted})
        if piece.text:
            self._say("text", piece.text, events)
        if piece.refusal:
            self._say("refusal", piece.refusal, events)
        for call in piece.calls:
            for part, begins in self._calls.add(call):
                self._use(part, events, begins=begins)
        if piece.finish is not None:
            self._flush(events)
        self._refused = self._refused or bool(piece.refusal)
        self._finish = piece.finish or self._finish
        self._stop_sequence = piece.stop_sequence or self._stop_sequence
        self._usage = piece.usage or self._usage
        return b"".join(events)

    def end(self, counted: Usage) -> bytes:
        """See `StreamWriter.end`."""
        events: list[bytes] = []
        self._begin(events)
        self._flush(events)
        self._stop(events)
        if not self._ended:
            reason = write_finish(
                self._finish,
                stop_sequence=self._stop_sequence,
                calls=bool(self._calls),
                refused=self._refused,
            )
            delta = {"stop_reason": reason, "stop_sequence": self._stop_sequence}
            events.append(event("message_delta", delta=delta, usage=write_usage(self._usage or counted)))
        return b"".join([*events, STOP])

    def branch(self) -> Self:
        """See `StreamWriter.branch`."""
        self._anew = True  # what follows is not the first upstream's, whoever goes on
        return copy.deepcopy(self)

    def _begin(self, events: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(Usage()),  # the counts come at the end, with message_delta
        }
        events.append(event("message_start", message=message))

    def _start(self, events: list[bytes], kind: str, block: Json) -> None:
        """Begin a block, the open one ended."""
        self._stop(events)
        self._open, self._next, self._kind = self._next, self._next + 1, kind
        events.append(event("content_block_start", index=self._open, content_block=block))

    def _stop(self, events: list[bytes]) -> None:
        if self._open is not None:
            events.append(event("content_block_stop", index=self._open))
            self._open, self._kind = None, ""

    def _add(self, events: list[bytes], delta: Json) -> None:
        events.append(event("content_block_delta", index=self._open, delta=delta))

    def _say(self, kind: str, text: str, events: list[bytes]) -> None:
        """Text, or a refusal: a text block of its own, as in a whole answer."""
        if self._open is None or self._kind != kind:
            self._flush(events)
            self._start(events, kind, {"type": "text", "text": ""})
        self._add(events, {"type": "text_delta", "text": text})

    def _think(self, piece: Piece, events: list[bytes]) -> None:
        if self._open is None or self._kind != "thinking":
            self._flush(events)
            self._start(events, "thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if piece.thinking:
            self._add(events, {"type": "thinking_delta", "thinking": piece.thinking})
        if piece.signature:
            self._sign(piece.signature, events)

    def _sign(self, signature: str, events: list[bytes]) -> None:
        if self._open is None or self._kind != "thinking":
            self._start(events, "thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._add(events, {"type": "signature_delta", "signature": signature})

    def _flush(self, events: list[bytes]) -> None:
        """No call goes on: write those that waited for others."""
        for part, begins in self._calls.flush():
            self._use(part, events, begins=begins)

    def _use(self, call: CallPiece, events: list[bytes], *, begins: bool) -> None:
        if begins:
            if call.signature is not None:
                self._sign(CALL + call.signature, events)
            call_id = call.call_id or f"toolu_{self._id}_{call.index}"
            block: Json = {"type": "tool_use", "id": call_id, "name": call.name or "", "input": {}}
            self._start(events, "tool_use", block)
        if call.arguments:
            self._add(events, {"type": "input_json_delta", "partial_json": call.arguments})


def _kind_of(piece: Piece) -> str:
    """The kind of block that a piece belongs to; empty if it does not tell."""
    if piece.calls:
        return "tool_use"
    if piece.thinking or piece.signature:
        return "thinking"
    return "text" if piece.text else ""
