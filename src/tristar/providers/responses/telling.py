"""The events of a response's stream, written, in OpenAI's order."""

import copy
from typing import Self

from tristar.providers.fields import encode
from tristar.providers.neutral import CallPiece, Finish, Json, Piece, Usage
from tristar.providers.queue import CallQueue
from tristar.providers.responses.output import REDACTED, SIGNED, Frame, Item, Kind, text_part
from tristar.providers.seal import CALL

_KINDS: dict[str | None, Kind] = {"function_call": "function_call", "reasoning": "reasoning"}
"""Kinds of items by their type; what else there is does not outlive its upstream, and counts as a message."""


class ResponseWriter:
    """See `StreamWriter`: one response, whose items come one after the other.

    As long as an upstream's own events are in order they pass, and their content is remembered; from the
    first that is not on (one before it was lost, or another llm has taken over) they are written anew.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.position = 0
        """The number of the next event."""
        self._begun = False
        self._anew = False
        self._open: Item | None = None
        self._open_at: int | None = None
        """The place of the open item in the output, as an upstream of the same format counts."""
        self._parted = False
        """Whether the open item's part has begun."""
        self._calls = CallQueue()
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._last = b""
        """An upstream's own last event: it leaves when the record is durable."""

    # -- an upstream's own events ---------------------------------------------

    def passes_texts(self) -> bool:
        """See `StreamWriter.passes_texts`: each has a number."""
        return False

    def passed(self, event: bytes, piece: Piece) -> bytes:
        """See `StreamWriter.passed`."""
        if self._anew or not self._is_in_order(piece):
            self._anew = True
            return self.write(piece)
        if piece.begins or piece.opens is not None:
            self._learn(piece)
        self._note(piece)
        if piece.closes is not None:
            self._open = self._open_at = None
            self._calls.flush()
        if piece.done:
            self._last = event
            return b""
        self.position += 1
        return event

    def _is_in_order(self, piece: Piece) -> bool:
        if piece.begins:
            return not self._begun
        if piece.opens is not None:
            return self._begun and self._open_at is None
        if piece.within is not None:
            return self._open_at == piece.within
        if piece.closes is not None:
            return self._open_at == piece.closes
        return self._begun or not piece.is_output

    def _learn(self, piece: Piece) -> None:
        """Take over the ids of an upstream's response and items: what is written anew goes on under them."""
        self._begun = True
        if piece.opens is None:
            self._frame.response_id = piece.named or self._frame.response_id
            return
        item = Item(_KINDS.get(piece.kind, "message"), piece.named or "")
        self._open, self._open_at, self._parted = item, piece.opens, False
        self._frame.items.append(item)

    def _note(self, piece: Piece) -> None:
        """Remember what a piece adds to the open item."""
        self._frame.model = piece.model or self._frame.model
        self._finish, self._usage = piece.finish or self._finish, piece.usage or self._usage
        item = self._open
        if item is None:
            return
        if piece.text or piece.thinking:
            item.text += piece.text or piece.thinking
            self._parted = True
        if piece.refusal:
            item.refusal += piece.refusal
            self._parted = True
        for call in piece.calls:
            item.call_id, item.name = call.call_id or item.call_id, call.name or item.name
            item.text += call.arguments
            self._calls.add(call)

    # -- what is written here ----------------------------------------------------

    def write(self, piece: Piece) -> bytes:
        """See `StreamWriter.write`."""
        self._frame.model = piece.model or self._frame.model
        events: list[bytes] = []
        if piece.is_output or piece.begins:
            self._begin(events)
        if piece.thinking:
            self._think(piece.thinking, events)
        if piece.signature:
            self._keep(SIGNED + piece.signature, events)
        if piece.redacted:
            self._flush(events)
            self._close(events)
            self._keep(REDACTED + piece.redacted, events)
        if piece.text:
            self._say(piece.text, events)
        if piece.refusal:
            self._refuse(piece.refusal, events)
        for call in piece.calls:
            for part, begins in self._calls.add(call):
                self._use(part, events, begins=begins)
        if piece.finish is not None:
            self._flush(events)
        self._finish, self._usage = piece.finish or self._finish, piece.usage or self._usage
        return b"".join(events)

    def end(self, counted: Usage) -> bytes:
        """See `StreamWriter.end`."""
        if self._last and not self._anew:
            return self._last
        events: list[bytes] = []
        self._begin(events)
        self._flush(events)
        self._close(events)
        response = self._frame.ended(self._finish, self._usage or counted)
        self._tell(events, f"response.{response['status']}", response=response)
        return b"".join(events)

    def branch(self) -> Self:
        """See `StreamWriter.branch`."""
        self._anew = True  # what follows is not the first upstream's, whoever goes on
        return copy.deepcopy(self)

    def _tell(self, events: list[bytes], kind: str, **told: object) -> None:
        body = encode({"type": kind, "sequence_number": self.position, **told})
        events.append(b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n")
        self.position += 1

    def _begin(self, events: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        for kind in ("response.created", "response.in_progress"):
            self._tell(events, kind, response=self._frame.begun())

    def _start(self, events: list[bytes], kind: Kind, **told: str) -> Item:
        """Begin an item, the open one ended."""
        self._close(events)
        item = self._open = Item(kind, self._frame.item_id(kind), **told)
        self._parted = False
        self._frame.items.append(item)
        self._tell(
            events, "response.output_item.added", output_index=self._place(), item=item.shown(done=False)
        )
        return item

    def _place(self) -> int:
        """The place of the open item, the last one, in the output."""
        return len(self._frame.items) - 1

    def _at(self, item: Item) -> Json:
        return {"item_id": item.id, "output_index": self._place()}

    def _say(self, text: str, events: list[bytes]) -> None:
        item = self._open
        if item is None or item.kind != "message" or item.refusal:
            self._flush(events)
            item = self._start(events, "message")
        if not self._parted:
            self._parted = True
            self._tell(
                events, "response.content_part.added", **self._at(item), content_index=0, part=text_part("")
            )
        item.text += text
        self._tell(
            events,
            "response.output_text.delta",
            **self._at(item),
            content_index=0,
            delta=text,
            logprobs=[],
        )

    def _refuse(self, refusal: str, events: list[bytes]) -> None:
        item = self._open
        if item is None or item.kind != "message" or item.text:
            self._flush(events)
            item = self._start(events, "message")
        if not self._parted:
            self._parted = True
            part = {"type": "refusal", "refusal": ""}
            self._tell(events, "response.content_part.added", **self._at(item), content_index=0, part=part)
        item.refusal += refusal
        self._tell(events, "response.refusal.delta", **self._at(item), content_index=0, delta=refusal)

    def _think(self, text: str, events: list[bytes]) -> None:
        item = self._open
        if item is None or item.kind != "reasoning" or item.encrypted is not None:
            self._flush(events)
            item = self._start(events, "reasoning")
        if not self._parted:
            self._parted = True
            part = {"type": "summary_text", "text": ""}
            self._tell(
                events, "response.reasoning_summary_part.added", **self._at(item), summary_index=0, part=part
            )
        item.text += text
        kind = "response.reasoning_summary_text.delta"
        self._tell(events, kind, **self._at(item), summary_index=0, delta=text)

    def _keep(self, encrypted: str, events: list[bytes]) -> None:
        item = self._open
        if item is None or item.kind != "reasoning":
            self._flush(events)
            item = self._start(events, "reasoning")
        item.encrypted = (item.encrypted or "") + (
            encrypted if item.encrypted is None else encrypted.removeprefix(SIGNED)
        )

    def _sign(self, signature: str, events: list[bytes]) -> None:
        """The signature of the call that begins next, at the thoughts before it."""
        item = self._open
        if item is None or item.kind != "reasoning" or item.encrypted is not None:
            item = self._start(events, "reasoning")
        item.encrypted = SIGNED + CALL + signature

    def _flush(self, events: list[bytes]) -> None:
        """No call goes on: write those that waited for others."""
        for part, begins in self._calls.flush():
            self._use(part, events, begins=begins)

    def _use(self, call: CallPiece, events: list[bytes], *, begins: bool) -> None:
        if begins and call.signature is not None:
            self._sign(call.signature, events)
        item = self._open
        if begins or item is None:
            call_id = call.call_id or f"call_{self._frame.response_id}_{call.index}"
            item = self._start(events, "function_call", call_id=call_id, name=call.name or "")
        if call.arguments:
            item.text += call.arguments
            kind = "response.function_call_arguments.delta"
            self._tell(events, kind, **self._at(item), delta=call.arguments)

    def _close(self, events: list[bytes]) -> None:
        """End the open item: its part, then itself."""
        item = self._open
        if item is None:
            return
        at = self._at(item)
        if item.kind == "function_call":
            item.text = item.text or "{}"
            kind = "response.function_call_arguments.done"
            self._tell(events, kind, **at, name=item.name, arguments=item.text)
        elif item.kind == "reasoning" and self._parted:
            part = {"type": "summary_text", "text": item.text}
            self._tell(events, "response.reasoning_summary_text.done", **at, summary_index=0, text=item.text)
            self._tell(events, "response.reasoning_summary_part.done", **at, summary_index=0, part=part)
        elif item.kind == "message" and self._parted:
            self._close_part(item, at, events)
        self._tell(
            events,
            "response.output_item.done",
            output_index=self._place(),
            item=item.shown(done=True),
        )
        self._open = self._open_at = None

    def _close_part(self, item: Item, at: Json, events: list[bytes]) -> None:
        if item.refusal:
            self._tell(events, "response.refusal.done", **at, content_index=0, refusal=item.refusal)
        else:
            self._tell(
                events, "response.output_text.done", **at, content_index=0, text=item.text, logprobs=[]
            )
        self._tell(events, "response.content_part.done", **at, content_index=0, part=item.part())
