"""An upstream for embeddings that costs little: `python -m benchmarks.vectors` prints its port and serves.

A text's vector is the sum of a fixed random direction for each of its words: texts that share words are near.
"""

import asyncio
import functools
import re
import zlib

import httptools
import msgspec
import numpy as np
from numpy.typing import NDArray

DIMS = 384


@functools.lru_cache(maxsize=100_000)
def direction(word: str) -> NDArray[np.float32]:
    """The direction of one word."""
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMS, dtype=np.float32)


def vector(text: str) -> list[float]:
    """What a text means here."""
    words = re.findall(r"\w+", text) or [""]
    return np.sum([direction(word) for word in words], axis=0).round(4).tolist()


class _Peer(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        asked = msgspec.json.decode(self._body)
        self._body = b""
        texts = asked["input"]
        data = [{"index": n, "embedding": vector(text)} for n, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        told = {
            "model": asked["model"],
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        body = msgspec.json.encode(told)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Peer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
