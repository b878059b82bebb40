"""What one call meets: an answer, a fault, or an answer with a fault in it.

Each step is a frozen value with one method, `play`. A step that answers does so as a stream
when the request asks for one, so that the same fault can be tried both ways, and in the format of
the path that was called.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tests.upstream import anthropic, gemini, payload, responses
from tests.upstream.gate import Gate
from tests.upstream.journal import Call
from tests.upstream.payload import ToolCall
from tests.upstream.stage import Stage
from tests.upstream.wire import Framing, Wire, frame, framing_headers, head, last_frame

__all__ = [
    "Answer",
    "Cut",
    "Embedded",
    "Garbage",
    "Hang",
    "Malformed",
    "Mirror",
    "Raw",
    "Stall",
    "Status",
    "Step",
    "ToolCall",
]

PLAIN = Wire()
DEFAULT_WORDS = ("Three", " stars", " guide", " one", " ship", ".")


class Step(Protocol):
    """What happens to one call."""

    async def play(self, stage: Stage) -> None:
        """Answer, or fail to, on the call's connection."""
        ...


@dataclass(frozen=True)
class Cut:
    """The connection ends after `after` events; of a body that is not streamed, after half of it."""

    after: int = 2
    how: Literal["fin", "rst"] = "fin"


@dataclass(frozen=True)
class Stall:
    """Silence after `after` events, connection open; 0 means after the headers."""

    after: int = 2


@dataclass(frozen=True)
class Malformed:
    """The event `at` (from 0) is replaced by `data`; a body that is not streamed is `data`."""

    at: int = 2
    data: bytes = b'{"id":"chatcmpl-upstream","choices":[{"delta":{"content":"br'


Fault = Cut | Stall | Malformed


def _lead(call: Call) -> int:
    """So many events more than in other formats go before the output: faults come so much later."""
    return responses.LEAD if call.form == "responses" else 0


@dataclass(frozen=True)
class Answer:
    """A good answer, or one with a `fault` in it.

    Args:
        words: the text, one stream event each.
        tools: calls of functions, after the text.
        thoughts: what the model thinks before, one stream event each.
        finish: the finish reason, in OpenAI's words.
        tokens: (input, output) to report; None counts 11 and the words.
        usage_parts: what the usage says beside or instead, `prompt_tokens_details` say.
        model: the model that the answer names; None means the one that was asked.
        extra: unknown fields, in the body or in every chunk.
        done: end a stream with `[DONE]`.
        report_usage: False leaves usage out, as some servers do.
        gap_s: pause before each event but the first.
        gate: wait before the event `gate_at`.
        first_gap_s: pause between headers and first event.
    """

    words: tuple[str, ...] = DEFAULT_WORDS
    tools: tuple[ToolCall, ...] = ()
    thoughts: tuple[str, ...] = ()
    finish: str = "stop"
    tokens: tuple[int, int] | None = None
    usage_parts: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    done: bool = True
    report_usage: bool = True
    gap_s: float = 0.0
    first_gap_s: float = 0.0
    gate: Gate | None = None
    gate_at: int = 2
    fault: Fault | None = None
    wire: Wire = PLAIN

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.words)

    @property
    def usage(self) -> tuple[int, int]:
        """The (input, output) tokens that this answer reports."""
        return self.tokens or (11, len(self.words))

    def events(self, call: Call) -> list[bytes]:
        """The payloads of a stream's events, without the last one that ends it where that says no more."""
        model, wants_usage = self.model or call.model, call.wants_usage
        told: dict[str, Any] = {
            "model": model,
            "thoughts": self.thoughts,
            "words": self.words,
            "tools": self.tools,
            "finish": self._finish,
            "extra": self.extra,
        }
        match call.form:
            case "messages":
                tokens = self.usage if self.report_usage else None
                return anthropic.stream(**told, tokens=tokens, parts=self.usage_parts)
            case "gemini":
                counted = gemini.usage(self.usage, self.usage_parts)
                return gemini.stream(**told, tokens=counted if self.report_usage else None)
            case "responses":
                counted = responses.usage(self.usage, self.usage_parts)
                return responses.stream(**told, tokens=counted if self.report_usage else None)
        pieces = payload.deltas(self.words, self.tools, self.thoughts)
        bodies = [
            payload.chunk(model=model, delta=piece, finish=None, extra=self.extra, with_usage=wants_usage)
            for piece in pieces
        ]
        bodies.append(
            payload.chunk(
                model=model, delta={}, finish=self._finish, extra=self.extra, with_usage=wants_usage
            )
        )
        if wants_usage and self.report_usage:
            bodies.append(payload.usage_chunk(model=model, tokens=self.usage, usage_parts=self.usage_parts))
        return [payload.encode(body) for body in bodies]

    def body(self, call: Call) -> bytes:
        """The answer when it is not streamed; where vectors are asked for, `Embedded`'s."""
        match call.form:
            case "embeddings":
                return Embedded(tokens=self.usage[0]).body(call)
            case "messages":
                return self._message(call)
            case "gemini":
                return self._response(call)
            case "responses":
                return self._responses(call)
        body = payload.completion(
            model=self.model or call.model,
            text=self.text or None,
            thoughts="".join(self.thoughts) or None,
            tools=self.tools,
            finish=self._finish,
            tokens=self.usage,
            extra=self.extra,
            usage_parts=self.usage_parts,
        )
        if not self.report_usage:
            del body["usage"]
        return payload.encode(body)

    def _message(self, call: Call) -> bytes:
        """The same as Anthropic's message."""
        body = anthropic.message(
            model=self.model or call.model,
            blocks=anthropic.blocks(self.thoughts, self.text, self.tools),
            finish=self._finish,
            usage=anthropic.usage(self.usage, self.usage_parts) if self.report_usage else None,
            extra=self.extra,
        )
        return payload.encode(body)

    def _response(self, call: Call) -> bytes:
        """The same as Google's response."""
        body = gemini.response(
            model=self.model or call.model,
            parts=gemini.parts(self.thoughts, self.text, self.tools),
            finish=self._finish,
            usage=gemini.usage(self.usage, self.usage_parts) if self.report_usage else None,
            extra=self.extra,
        )
        return payload.encode(body)

    def _responses(self, call: Call) -> bytes:
        """The same as one of OpenAI's Responses."""
        body = responses.response(
            model=self.model or call.model,
            output=responses.output(self.thoughts, self.text, self.tools),
            finish=self._finish,
            usage=responses.usage(self.usage, self.usage_parts) if self.report_usage else None,
            extra=self.extra,
        )
        return payload.encode(body)

    async def play(self, stage: Stage) -> None:
        """Send the answer as the request asked for it."""
        if self.wire.send_buffer_bytes is not None:
            stage.narrow(self.wire.send_buffer_bytes)
        pieces = list(self._stream_pieces(stage.call)) if stage.call.streamed else [self.body(stage.call)]
        if isinstance(self.fault, Malformed) and not stage.call.streamed:
            pieces = [self.fault.data]
        if await self._send(stage, pieces):
            self._afterwards(stage)
            stage.finished()

    @property
    def _finish(self) -> str:
        return "tool_calls" if self.tools and self.finish == "stop" else self.finish

    def _stream_pieces(self, call: Call) -> Iterator[bytes]:
        wrap = {"messages": anthropic.event, "responses": responses.event}.get(call.form or "", payload.event)
        for index, body in enumerate(self.events(call), -_lead(call)):
            broken = isinstance(self.fault, Malformed) and index == self.fault.at
            yield wrap(self.fault.data if broken and isinstance(self.fault, Malformed) else body)
        if self.done and call.form in {"chat", "messages"}:
            yield anthropic.STOP if call.form == "messages" else payload.DONE

    async def _send(self, stage: Stage, pieces: list[bytes]) -> bool:
        """Send head and pieces; False if the fault ended the connection."""
        framing: Framing = self.wire.framing or ("chunked" if stage.call.streamed else "length")
        kind = "text/event-stream; charset=utf-8" if stage.call.streamed else "application/json"
        headers = [("content-type", kind), ("x-upstream", "scripted"), *self.wire.headers]
        headers += framing_headers(framing, sum(map(len, pieces)))
        stage.answered(200)
        await self._write(stage, self.wire.preface + head(200, headers))
        for index, piece in enumerate(pieces):
            if await self._fault_before(stage, index, piece, framing):
                return False
            await self._wait_before(stage, index)
            await self._write(stage, frame(piece, framing, extensions=self.wire.extensions))
            if stage.call.streamed and piece not in {payload.DONE, anthropic.STOP}:
                stage.event_sent()
        await self._write(stage, last_frame(framing, self.wire.trailers))
        return True

    async def _fault_before(self, stage: Stage, index: int, piece: bytes, framing: Framing) -> bool:
        if not isinstance(self.fault, Cut | Stall):
            return False
        if stage.call.streamed and index < self.fault.after + (_lead(stage.call) if self.fault.after else 0):
            return False
        if not stage.call.streamed and not (isinstance(self.fault, Stall) and self.fault.after == 0):
            await self._write(stage, frame(piece, framing)[: len(piece) // 2])
        if isinstance(self.fault, Stall):
            await stage.hang()
        elif self.fault.how == "rst":
            await stage.pause(0.02)  # let the client read what was sent: RST discards it
            stage.finished()
            stage.reset()
        else:
            stage.finished()
            stage.close()
        return True

    async def _wait_before(self, stage: Stage, index: int) -> None:
        if self.first_gap_s and index == 0:
            await stage.pause(self.first_gap_s)
        if self.gap_s and index:
            await stage.pause(self.gap_s)
        if self.gate is not None and index == (self.gate_at if stage.call.streamed else 0):
            await stage.passage(self.gate)

    async def _write(self, stage: Stage, data: bytes) -> None:
        if not self.wire.split_bytes:
            if data:
                await stage.send(data)
            return
        for start in range(0, len(data), self.wire.split_bytes):
            await stage.send(data[start : start + self.wire.split_bytes])
            await stage.pause(self.wire.piece_gap_s)

    def _afterwards(self, stage: Stage) -> None:
        if self.wire.afterwards == "close_on_next":
            stage.close_on_next()
        elif self.wire.afterwards == "half_close":
            stage.half_close()
        elif self.wire.afterwards == "close" or self.wire.framing == "close":
            stage.close()


@dataclass(frozen=True)
class Embedded:
    """Embeddings: one `vector` for each text, `tokens` counted."""

    vector: tuple[float, ...] = (0.6, 0.8)
    tokens: int = 7

    def body(self, call: Call) -> bytes:
        """The whole answer."""
        asked = call.json["input"]
        texts = asked if isinstance(asked, list) else [asked]
        data = [{"object": "embedding", "index": n, "embedding": self.vector} for n, _ in enumerate(texts)]
        usage = {"prompt_tokens": self.tokens, "total_tokens": self.tokens}
        return payload.encode({"object": "list", "model": call.model, "data": data, "usage": usage})

    async def play(self, stage: Stage) -> None:
        """Answer the call."""
        body = self.body(stage.call)
        stage.answered(200)
        length = ("content-length", str(len(body)))
        await stage.send(head(200, [("content-type", "application/json"), length]) + body)


@dataclass(frozen=True)
class Mirror:
    """Answers with the request's own last message as JSON text: what arrived, image and all."""

    async def play(self, stage: Stage) -> None:
        """Send back the content of the last message."""
        messages = stage.call.json.get("messages") or [{}]
        text = json.dumps(messages[-1].get("content"), ensure_ascii=False)
        await Answer(words=(text,)).play(stage)


@dataclass(frozen=True)
class Status:
    """An error status with the envelope of the path that was called, or `body` as it is.

    `says` is what it says on Anthropic's path, where that is something else than OpenAI's body, and
    `google_says` on Google's.
    """

    code: int = 500
    retry_after: str | None = None
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    says: str | None = None
    google_says: str | None = None

    async def play(self, stage: Stage) -> None:
        """Send the error and keep the connection."""
        body = self.body
        usual = f"upstream says {self.code}"
        if stage.call.form == "messages" and (body is None or self.says is not None):
            body = anthropic.error(self.code, self.says or usual)
        if stage.call.form == "gemini" and (body is None or self.google_says is not None):
            body = gemini.error(self.code, self.google_says or usual)
        if body is None:
            body = payload.error(
                f"upstream says {self.code}", kind="server_error", code=f"upstream_{self.code}"
            )
        headers = [("content-type", self.content_type), ("content-length", str(len(body))), *self.headers]
        if self.retry_after is not None:
            headers.append(("retry-after", self.retry_after))
        stage.answered(self.code)
        await stage.send(head(self.code, headers) + body)
        stage.finished()


@dataclass(frozen=True)
class ResetBeforeHeaders:
    """RST as soon as the request is read."""

    async def play(self, stage: Stage) -> None:
        """Reset the connection."""
        stage.finished()
        stage.reset()


@dataclass(frozen=True)
class CloseBeforeHeaders:
    """FIN as soon as the request is read."""

    async def play(self, stage: Stage) -> None:
        """Close the connection."""
        stage.finished()
        stage.close()


@dataclass(frozen=True)
class Hang:
    """Reads the request and never answers."""

    async def play(self, stage: Stage) -> None:
        """Stay silent until the client leaves."""
        await stage.hang()


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they mean, and then the end of the connection or silence."""

    data: bytes
    then: Literal["close", "hang", "keep"] = "close"

    async def play(self, stage: Stage) -> None:
        """Send the bytes as they are."""
        await stage.send(self.data)
        if self.then == "hang":
            await stage.hang()
        stage.finished()
        if self.then == "close":
            stage.close()


def Garbage() -> Raw:  # noqa: N802 - reads as a step beside the others
    """Bytes that are no HTTP."""
    return Raw(b"\x16\x03\x01 this is no HTTP at all \r\n\r\n")


def context_length_exceeded() -> Status:
    """OpenAI's refusal of a prompt that is too long."""
    message = (
        "This model's maximum context length is 128 tokens. However, your messages resulted in 900 tokens."
    )
    kind = "invalid_request_error"
    return Status(
        400,
        body=payload.error(message, kind=kind, code="context_length_exceeded", param="messages"),
        says="prompt is too long: 900 tokens > 128 maximum",
        google_says="The input token count (900) exceeds the maximum number of tokens allowed (128).",
    )


def content_filter(code: int = 400) -> Status:
    """A provider's refusal on grounds of content, as Azure OpenAI words it."""
    message = "The response was filtered due to the prompt triggering the content management policy."
    return Status(
        code,
        body=payload.error(message, kind="invalid_request_error", code="content_filter", param="prompt"),
        says="Output blocked by content filtering policy",
    )


def bad_key(code: int = 401) -> Status:
    """A provider's refusal of the operator's key; the message quotes part of the key, as OpenAI does."""
    message = (
        "Incorrect API key provided: sk-canar***************0000. You can find your API key in the console."
    )
    return Status(
        code,
        body=payload.error(message, kind="invalid_request_error", code="invalid_api_key"),
        says="invalid x-api-key sk-canar***************0000",
        google_says="API key sk-canar***************0000 not valid. Please pass a valid API key.",
    )
