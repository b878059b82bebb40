"""`python -m benchmarks.open_loop PORT RATE SECONDS [AUTHORIZATION]`: a fixed rate, whoever answers or not.

A closed loop waits for a slow server and so hides how slow it was. Here each request has its time, and
its latency counts from that time on, not from when it could be sent.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import deque
from typing import cast

import httptools
import uvloop
from benchmarks.load import request

CONNECTIONS = 64


class Client(asyncio.Protocol):
    """One connection; at most one request at a time."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._parser = httptools.HttpResponseParser(self)
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._crowd.free.append(self)

    def ask(self, due: float) -> None:
        self._due = due
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise RuntimeError(f"status {self._parser.get_status_code()}")
        self._crowd.done(self, self._due)


class Crowd:
    """Asks at its rate; what finds no free connection waits, and its wait is counted."""

    def __init__(self, authorization: str) -> None:
        body = request(stream=False).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        if authorization:
            head += f"Authorization: {authorization}\r\n"
        self.request = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        self.free: list[Client] = []
        self._late: deque[float] = deque()
        self.took_ms: list[float] = []

    def done(self, client: Client, due: float) -> None:
        self.took_ms.append((time.perf_counter() - due) * 1e3)
        if self._late:
            client.ask(self._late.popleft())
        else:
            self.free.append(client)

    async def run(self, rate: int, seconds: float) -> None:
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            early = due - time.perf_counter()
            if early > 0:
                await asyncio.sleep(early)
            if self.free:
                self.free.pop().ask(due)
            else:
                self._late.append(due)
        await asyncio.sleep(1)  # what is still on its way


async def main(port: int, rate: int, seconds: float, authorization: str = "") -> None:
    loop = asyncio.get_running_loop()
    crowd = Crowd(authorization)
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Client(crowd), "127.0.0.1", port)
    await crowd.run(rate, 1)
    crowd.took_ms.clear()
    await crowd.run(rate, seconds)
    quantiles = statistics.quantiles(crowd.took_ms, n=1000)
    told = {
        "answered": len(crowd.took_ms) / (rate * seconds),
        "p50_ms": quantiles[499],
        "p99_ms": quantiles[989],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
