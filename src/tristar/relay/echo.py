"""The built-in llm `echo`: repeats the question, so that a gateway without a provider answers.

It speaks the OpenAI dialect to the relay like any upstream, but from inside the process.
"""

import base64
import math
import time
import zlib
from array import array

import msgspec

from tristar.providers.openai.streaming import DONE
from tristar.relay.departure import Departure
from tristar.relay.transport import Headers, Take


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    role: str = "user"
    content: str | list[_Part] | None = None


class _Options(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    messages: list[_Message]
    model: str = "echo"
    stream: bool | None = None
    stream_options: _Options | None = None


class _EmbeddingRequest(msgspec.Struct):
    input: str | list[str]
    model: str = "echo"
    encoding_format: str = "float"


EMBEDDINGS = b"/embeddings"
DIMENSIONS = 64

_decoder = msgspec.json.Decoder(_Request)
_embedding_decoder = msgspec.json.Decoder(_EmbeddingRequest)
_encoder = msgspec.json.Encoder()


class EchoResponse:
    """An answer made of pieces that are all there already."""

    def __init__(self, status: int, content_type: bytes, pieces: list[bytes]) -> None:
        self.status = status
        self.headers: Headers = [(b"content-type", content_type)]
        self._pieces = iter(pieces)

    def arrived(self) -> bytes | None:
        """See `Response.arrived`: its pieces are read one by one."""
        return None

    async def read(self, departure: Departure, deadline: float) -> bytes:
        """See `Response.read`."""
        del deadline
        if departure.gone:
            await departure.pause(0)
        return next(self._pieces, b"")

    async def flow(self, take: Take, departure: Departure, deadline: float) -> None:
        """See `Response.flow`."""
        while take(piece := await self.read(departure, deadline)) and piece:
            pass

    def release(self) -> None:
        """See `Response.release`."""

    def abort(self) -> None:
        """See `Response.abort`."""


class Echo:
    """An `Upstream` that answers with the last user message; tokens are its words.

    It also embeds: texts that share words get vectors that point the same way.
    """

    async def send(
        self, head: bytes, body: bytes, departure: Departure, deadline: float, *, fresh: bool = False
    ) -> EchoResponse:
        """See `Upstream.send`."""
        del departure, deadline, fresh
        if head.startswith(EMBEDDINGS):
            return _embedded(body)
        try:
            request = _decoder.decode(body)
        except msgspec.DecodeError as error:
            return _refused(f"echo cannot read the request: {error}")
        words = _question(request.messages).split(" ")
        usage = _usage(request.messages, words)
        if request.stream:
            asked = bool(request.stream_options and request.stream_options.include_usage)
            return EchoResponse(
                200, b"text/event-stream", _stream(request.model, words, usage if asked else None)
            )
        return EchoResponse(200, b"application/json", [_whole(request.model, words, usage)])

    async def close(self) -> None:
        """See `Upstream.close`."""


def _refused(message: str) -> EchoResponse:
    told = {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "code": "invalid_request",
            "param": None,
        }
    }
    return EchoResponse(400, b"application/json", [_encoder.encode(told)])


def _embedded(body: bytes) -> EchoResponse:
    try:
        request = _embedding_decoder.decode(body)
    except msgspec.DecodeError as error:
        return _refused(f"echo embeds strings alone: {error}")
    texts = [request.input] if isinstance(request.input, str) else request.input
    vectors = [_vector(text) for text in texts]
    shown: list[object] = list(vectors)
    if request.encoding_format == "base64":
        shown = [base64.b64encode(array("f", vector).tobytes()).decode() for vector in vectors]
    tokens = sum(len(text.split()) for text in texts)
    told = {
        "object": "list",
        "model": request.model,
        "data": [{"object": "embedding", "index": n, "embedding": each} for n, each in enumerate(shown)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return EchoResponse(200, b"application/json", [_encoder.encode(told)])


def _vector(text: str) -> list[float]:
    """Which words a text has, as a direction: each word counts in one place, chosen by its hash."""
    vector = [0.0] * DIMENSIONS
    for word in text.casefold().split():
        vector[zlib.crc32(word.encode(errors="replace")) % DIMENSIONS] += 1.0
    length = math.hypot(*vector) or 1.0
    return [value / length for value in vector]


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return " ".join(part.text for part in message.content if part.text)
    return message.content or ""


def _question(messages: list[_Message]) -> str:
    asked = [_text(message) for message in messages if message.role == "user"]
    return asked[-1] if asked else ""


def _usage(messages: list[_Message], words: list[str]) -> dict[str, int]:
    prompt = sum(len(_text(message).split()) for message in messages)
    completion = len([word for word in words if word])
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _envelope(kind: str, model: str) -> dict[str, object]:
    now = time.time_ns()
    return {"id": f"chatcmpl-echo-{now:x}", "object": kind, "created": now // 1_000_000_000, "model": model}


def _whole(model: str, words: list[str], usage: dict[str, int]) -> bytes:
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return _encoder.encode(_envelope("chat.completion", model) | {"choices": [choice], "usage": usage})


def _stream(model: str, words: list[str], usage: dict[str, int] | None) -> list[bytes]:
    base = _envelope("chat.completion.chunk", model)

    def event(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _encoder.encode(base | {"choices": [choice]}) + b"\n\n"

    pieces = [event({"role": "assistant", "content": ""})]
    pieces += [event({"content": word if n == 0 else " " + word}) for n, word in enumerate(words)]
    pieces.append(event({}, "stop"))
    if usage is not None:
        pieces.append(b"data: " + _encoder.encode(base | {"choices": [], "usage": usage}) + b"\n\n")
    return [*pieces, DONE]
