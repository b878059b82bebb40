"""The way to the client over ASGI, with the headers that every answer carries."""

import functools

from tristar.edge.cors import EXPOSED
from tristar.edge.request import Send
from tristar.exchange import Exchange
from tristar.relay.departure import Departure

Headers = list[tuple[bytes, bytes]]

ANTHROPIC_PATH = "/v1/messages"
"""Where clients look for the request's id under `request-id`, as Anthropic's SDKs do."""


def common_headers(exchange: Exchange) -> Headers:
    """Who answered, after how many attempts, and under which ids."""
    headers = [
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-tristar-trace-id", exchange.trace_id.encode()),
    ]
    if exchange.endpoint.startswith(ANTHROPIC_PATH):
        headers.append((b"request-id", exchange.request_id.encode()))
    if exchange.readable_by is not None:
        headers += cors_headers(exchange.readable_by)
    if exchange.action == "llm_call":
        headers.append((b"x-tristar-attempts", str(len(exchange.attempts)).encode()))
        if exchange.llm_id is not None:
            headers.append((b"x-tristar-llm", header_value(exchange.llm_id)))
        if exchange.recalled is not None:
            headers.append((b"x-tristar-memory", exchange.recalled.encode()))
    return headers


def cors_headers(readable_by: bytes) -> Headers:
    """What a browser must be told before a page of that origin may read an answer."""
    return [
        (b"access-control-allow-origin", readable_by),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]


def common_lines(exchange: Exchange) -> bytes:
    """`common_headers` as they stand on the wire, each line with its CR LF."""
    ids = f"x-request-id: {exchange.request_id}\r\nx-tristar-trace-id: {exchange.trace_id}\r\n"
    if exchange.endpoint.startswith(ANTHROPIC_PATH):
        ids += f"request-id: {exchange.request_id}\r\n"
    if exchange.readable_by is not None:
        for name, value in cors_headers(exchange.readable_by):
            ids += f"{name.decode()}: {value.decode()}\r\n"
    if exchange.action != "llm_call":
        return ids.encode()
    attempts = f"{ids}x-tristar-attempts: {len(exchange.attempts)}\r\n"
    if exchange.llm_id is None:
        return attempts.encode()
    if exchange.recalled is not None:
        attempts = f"{attempts}x-tristar-memory: {exchange.recalled}\r\n"
    return b"%bx-tristar-llm: %b\r\n" % (attempts.encode(), header_value(exchange.llm_id))


@functools.lru_cache(maxsize=1024)
def header_value(text: str) -> bytes:
    """Text as a header's value: what is not printable ASCII becomes `?`."""
    return text.encode("ascii", "replace").translate(_PRINTABLE)


_PRINTABLE = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))


class AsgiReply:
    """See `corridor.Reply`."""

    def __init__(self, send: Send, exchange: Exchange, departure: Departure) -> None:
        self._send = send
        self.exchange = exchange
        self.departure = departure
        self.begun = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Reply.whole`."""
        length = (b"content-length", str(len(body)).encode())
        await self.begin(status, [*headers, length])
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        """See `Reply.begin`."""
        self.begun = True
        all_headers = headers + common_headers(self.exchange)
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})

    async def send(self, piece: bytes) -> None:
        """See `Reply.send`."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    def push(self, piece: bytes) -> bool:
        """See `Reply.push`: ASGI has no sending without waiting."""
        del piece
        return False

    async def end(self, piece: bytes) -> None:
        """See `Reply.end`."""
        await self._send({"type": "http.response.body", "body": piece})
