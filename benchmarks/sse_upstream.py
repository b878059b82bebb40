"""`python -m benchmarks.sse_upstream PORT`: 50 chunks per stream, each its own write.

One write per turn of the event loop, so that with many streams open each chunk arrives
as a segment of its own, as tokens do.
"""

import asyncio
import json
import sys
from typing import cast

import httptools
import uvloop

CHUNKS = 50

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _event(body: dict[str, object]) -> bytes:
    data = b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1750000000,
        "model": "bench",
        "choices": [choice],
    }


USAGE = {"prompt_tokens": 120, "completion_tokens": 48, "total_tokens": 168}
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
PIECES = [
    _event(_chunk({"role": "assistant", "content": ""})),
    *(_event(_chunk({"content": f" word{number}"})) for number in range(CHUNKS - 2)),
    _event(_chunk({}, "stop")),
]
WITH_USAGE = [*PIECES, _event(_chunk({}) | {"choices": [], "usage": USAGE})]


class Peer(asyncio.Protocol):
    """One connection; a request that asks for usage gets the extra chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        pieces = WITH_USAGE if b"include_usage" in self._body else PIECES
        self._body = b""
        self._transport.write(HEAD)
        self._loop.call_soon(self._next, pieces, 0)

    def _next(self, pieces: list[bytes], index: int) -> None:
        if self._transport.is_closing():
            return
        if index == len(pieces):
            self._transport.write(DONE)
            return
        self._transport.write(pieces[index])
        self._loop.call_soon(self._next, pieces, index + 1)


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
