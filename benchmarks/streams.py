"""`python -m benchmarks.streams STREAMS PERIOD_S PER_TICK`: streams that speak seldom, from both their ends.

Upstream and client in one process, so that both read one clock: each event carries when it was written.
Prints the upstream's port. Then orders, a line each on standard input, each answered by a line of JSON:
`open PORT AUTHORIZATION` opens all streams there and waits for the first event of each; `begin` forgets
what was seen; `end` tells how late the events since then came, and the widest gap within a stream.
"""

import asyncio
import gc
import json
import re
import resource
import sys
import time
from typing import cast

import httptools
import uvloop
from benchmarks.load import request
from benchmarks.sse_upstream import HEAD

_STAMP = re.compile(rb'"content":\s?"(\d+)"')
_OPENED_AT_A_TIME = 200


class Source(asyncio.Protocol):
    """One upstream connection: a stream that ends with the connection."""

    def __init__(self, sources: list["Source"]) -> None:
        self._sources = sources
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._transport.write(HEAD)
        self.speak()
        self._sources.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a stream that was cut, or ended: neither speaks any more
        if self in self._sources:
            self._sources.remove(self)

    def speak(self) -> None:
        """One event that says when it was written."""
        choice = {"index": 0, "delta": {"content": str(time.monotonic_ns())}, "finish_reason": None}
        event = {
            "id": "b",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "bench",
            "choices": [choice],
        }
        data = b"data: " + json.dumps(event).encode() + b"\n\n"
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))


class Sink(asyncio.Protocol):
    """One client connection; notes how late each event came."""

    def __init__(self, seen: "Seen", asked: bytes) -> None:
        self._seen, self._asked = seen, asked
        self._last_s: float | None = None
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._asked)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        for stamp in _STAMP.findall(data):
            self._seen.late_ms.append((now_ns - int(stamp)) / 1e6)
            if not self.first.done():
                self.first.set_result(None)
            elif self._last_s is not None and self._last_s >= self._seen.since_s:
                self._seen.widest_gap_ms = max(self._seen.widest_gap_ms, now_ns / 1e6 - self._last_s * 1e3)
            self._last_s = now_ns / 1e9

    def connection_lost(self, exc: Exception | None) -> None:
        self._seen.lost += 1
        if not self.first.done():
            self.first.set_exception(exc or ConnectionResetError())


class Seen:
    """What the clients saw since the last `begin`."""

    def __init__(self) -> None:
        self.lost = 0
        self.begin()

    def begin(self) -> None:
        self.late_ms: list[float] = []
        self.widest_gap_ms = 0.0
        self.since_s = time.monotonic()

    def told(self) -> dict[str, float]:
        late = sorted(self.late_ms)
        return {
            "events": len(late),
            "late_p50_ms": late[len(late) // 2],
            "late_p99_ms": late[int(len(late) * 0.99)],
            "late_worst_ms": late[-1],
            "widest_gap_ms": self.widest_gap_ms,
            "lost": self.lost,
        }


async def speak_in_turn(sources: list[Source], period_s: float, per_tick: int) -> None:
    """Have each stream speak once in every period, so many at a time, evenly spread."""
    turn = 0
    due = time.monotonic()
    while True:
        count = max(1, len(sources))
        for source in [sources[(turn + each) % count] for each in range(per_tick if sources else 0)]:
            source.speak()
        turn = (turn + per_tick) % count
        due += period_s * per_tick / count
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)
        else:
            due = time.monotonic()
            await asyncio.sleep(0)


async def open_all(seen: Seen, streams: int, port: int, authorization: str) -> None:
    """Open every stream and wait for its first event."""
    body = request(stream=True).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n{authorization}"
    )
    asked = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    loop = asyncio.get_running_loop()
    for opened in range(0, streams, _OPENED_AT_A_TIME):
        made = [
            await loop.create_connection(lambda: Sink(seen, asked), "127.0.0.1", port)
            for _ in range(min(_OPENED_AT_A_TIME, streams - opened))
        ]
        await asyncio.gather(*(sink.first for _, sink in made))


async def main(streams: int, period_s: float, per_tick: int) -> None:
    loop, sources, seen = asyncio.get_running_loop(), list[Source](), Seen()
    server = await loop.create_server(lambda: Source(sources), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    speaking = loop.create_task(speak_in_turn(sources, period_s, per_tick))
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order, *rest = line.split(maxsplit=2)
        if order == "open":
            authorization = f"Authorization: {rest[1].strip()}\r\n" if rest[1:] else ""
            await open_all(seen, streams, int(rest[0]), authorization)
        elif order == "begin":
            # The lateness that is measured is the gateway's, not that of a collection over our own ends.
            gc.collect()
            gc.disable()
            seen.begin()
        print(json.dumps(seen.told() if order == "end" else {}), flush=True)
    speaking.cancel()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
