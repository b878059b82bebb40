"""One simulated provider: an HTTP server of this process that speaks the OpenAI dialect."""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

from tristar.clock import Clock
from tristar.demo.weather import Character, Ill

THINKER: Final = "thinker"
"""A model with this in its name thinks for more than half a minute."""
THINKING_S: Final = (12.0, 20.0)
"""Until its first token, and from there to its end."""
SIEM_PATH: Final = "/siem"
SIEM_BUSY: Final = 0.1
HEAD_BYTES: Final = 65_536

_TEXT: Final = (
    "This answer is simulated. No provider was asked, no money was spent, and every figure that you see "
    "about it was measured on a real call through a real gateway: attempts, tokens, latency, and the record "
    "in the log."
)
_WORDS: Final = _TEXT.split()
_REFUSALS: Final[Mapping[Ill, tuple[str, str]]] = {
    "down": ("503 Service Unavailable", "The simulated provider is having an outage."),
    "erring": ("500 Internal Server Error", "The simulated provider has made a mistake."),
    "limiting": ("429 Too Many Requests", "The simulated provider wants fewer requests."),
}


class Provider:
    """Answers chats, embeddings and lists of models after its character; takes records as a SIEM would."""

    def __init__(self, character: Character, clock: Clock, random: Random) -> None:
        self.character = character
        self._clock = clock
        self._random = random
        self._began = clock.monotonic()
        self.calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its client is gone."""
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the gateway has hung up, as it does with what it cancels
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, path, _ = head.split(" ", 2)
        body = await _body(head, reader)
        if path == SIEM_PATH:
            busy = self._random.random() < SIEM_BUSY
            return await _answer(writer, "503 Service Unavailable" if busy else "200 OK", {"simulated": True})
        if method == "GET":
            return await _answer(writer, "200 OK", {"object": "list", "data": []})
        self.calls += 1
        asked: dict[str, Any] = json.loads(body)
        ill = self.character.weather(self._clock.monotonic() - self._began, self._random)
        if ill in _REFUSALS:
            await asyncio.sleep(self._drawn(self.character.first_token_s) / 3)
            return await _refuse(writer, ill)
        if path.endswith("/embeddings"):
            return await _answer(writer, "200 OK", self._embedding(asked))
        if asked.get("stream"):
            return await self._stream(writer, asked, cut=ill == "cutting")
        return await self._whole(writer, asked)

    async def _whole(self, writer: asyncio.StreamWriter, asked: dict[str, Any]) -> bool:
        words = _remaining(asked)
        first_s, word_s = self._pace(asked)
        await asyncio.sleep(first_s + word_s * len(words))
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return await _answer(
            writer,
            "200 OK",
            _frame(asked, "chat.completion") | {"choices": [choice], "usage": _usage(asked, words)},
        )

    async def _stream(self, writer: asyncio.StreamWriter, asked: dict[str, Any], *, cut: bool) -> bool:
        words = _remaining(asked)
        first_s, word_s = self._pace(asked)
        await asyncio.sleep(first_s)
        _begin_stream(writer)
        frame = _frame(asked, "chat.completion.chunk")
        sent = words[: len(words) // 2] if cut else words
        for number, word in enumerate(sent):
            delta = {
                "role": "assistant",
                "content": word if number == 0 and not _prefill(asked) else f" {word}",
            }
            _event(writer, frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            await writer.drain()
            await asyncio.sleep(word_s)
        if cut:
            writer.transport.abort()
            return False
        _event(writer, frame | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        _event(writer, frame | {"choices": [], "usage": _usage(asked, words)})
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _embedding(self, asked: dict[str, Any]) -> dict[str, Any]:
        given = asked.get("input")
        count = len(given) if isinstance(given, list) else 1
        vector = [round(math.sin(place), 4) for place in range(8)]
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
        usage = {"prompt_tokens": 6 * count, "total_tokens": 6 * count}
        return {"object": "list", "model": asked.get("model"), "data": data, "usage": usage}

    def _pace(self, asked: dict[str, Any]) -> tuple[float, float]:
        if THINKER in str(asked.get("model")):
            first_s, rest_s = THINKING_S
            return self._drawn(first_s, 0.1), rest_s / len(_WORDS)
        return self._drawn(self.character.first_token_s), self.character.word_s

    def _drawn(self, middle_s: float, spread: float = 0.4) -> float:
        return middle_s * self._random.lognormvariate(0, spread)


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[str]:
    """The provider on a free port of the loopback interface; its base URL, without `/v1`."""
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(provider.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=HEAD_BYTES)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _body(head: str, reader: asyncio.StreamReader) -> bytes:
    for line in head.lower().split("\r\n"):
        if line.startswith("content-length:"):
            return await reader.readexactly(int(line.split(":")[1]))
    return b""


async def _answer(
    writer: asyncio.StreamWriter, status: str, content: dict[str, Any], headers: str = ""
) -> bool:
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    return True


async def _refuse(writer: asyncio.StreamWriter, ill: Ill) -> bool:
    status, message = _REFUSALS[ill]
    error = {"message": message, "type": "server_error", "code": None, "param": None}
    return await _answer(writer, status, {"error": error}, "retry-after: 1\r\n" if ill == "limiting" else "")


def _begin_stream(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")


def _event(writer: asyncio.StreamWriter, content: dict[str, Any]) -> None:
    _chunk(writer, b"data: " + json.dumps(content).encode() + b"\n\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _frame(asked: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-simulated", "object": kind, "created": 0, "model": asked.get("model")}


def _prefill(asked: dict[str, Any]) -> str:
    """What a trailing assistant message has said already."""
    last = asked["messages"][-1]
    return str(last.get("content") or "") if last.get("role") == "assistant" else ""


def _remaining(asked: dict[str, Any]) -> list[str]:
    return _WORDS[len(_prefill(asked).split()) :]


def _usage(asked: dict[str, Any], words: list[str]) -> dict[str, Any]:
    given = sum(len(str(message.get("content") or "").split()) + 3 for message in asked["messages"])
    return {
        "prompt_tokens": given,
        "completion_tokens": len(words),
        "total_tokens": given + len(words),
        "prompt_tokens_details": {"cached_tokens": given // 2},
        "completion_tokens_details": {"reasoning_tokens": len(words) // 4},
    }
