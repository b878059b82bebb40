"""A request of our own server as ASGI has it: the way to FastAPI, which serves all but the llm routes."""

import re
from typing import Protocol

from tristar.corridor import Headers
from tristar.edge.request import Message, Scope
from tristar.relay.departure import ClientGone

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_DISCONNECT = {"type": "http.disconnect"}


class Half(Protocol):
    """What the bridge stands on: see `edge.turn.Turn`."""

    target: bytes
    method: str
    path: str
    headers: Headers
    is_http_1_0: bool
    received: bool

    def take(self) -> bytes:
        """What has arrived of the body since the last call."""
        ...

    async def more(self) -> None:
        """Wait until more of the request has arrived. Raises `ClientGone`, `BadRequest`."""
        ...

    async def over(self) -> None:
        """Wait until the answer is complete or the client is gone."""
        ...

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in one piece."""
        ...

    async def begin(self, status: int, headers: Headers) -> None:
        """Status and headers; `send` and `end` follow."""
        ...

    async def send(self, piece: bytes) -> None:
        """One piece of the body."""
        ...

    async def end(self, piece: bytes) -> None:
        """The last piece."""
        ...


class Bridge:
    """`scope`, `receive` and `send` of one request (ASGI 3.0, HTTP 2.3)."""

    def __init__(self, half: Half) -> None:
        self._half = half
        self._told_end = False
        self._start: Message | None = None

    def scope(self, client: tuple[str, int] | None, server: tuple[str, int] | None, *, secure: bool) -> Scope:
        """The connection scope."""
        half = self._half
        raw_path, _, query = half.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.0" if half.is_http_1_0 else "1.1",
            "method": half.method,
            "scheme": "https" if secure else "http",
            "path": half.path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": half.headers,
            "client": client,
            "server": server,
            "state": {},
        }

    async def receive(self) -> Message:
        """The next piece of the body; after its end, the end of the request itself."""
        half = self._half
        while not self._told_end:
            piece = half.take()
            if piece or half.received:
                self._told_end = half.received
                return {"type": "http.request", "body": piece, "more_body": not half.received}
            try:
                await half.more()
            except ClientGone:
                return _DISCONNECT
        await half.over()
        return _DISCONNECT

    async def send(self, message: Message) -> None:
        """Pass on a piece of the application's answer.

        Raises:
            ValueError: a header's name or value cannot be sent.
        """
        if message["type"] == "http.response.start":
            self._start = message
            return
        half = self._half
        start, self._start = self._start, None
        body, more = message.get("body", b""), message.get("more_body", False)
        if start is not None:
            told = [_checked(name, value) for name, value in start.get("headers", ())]
            headers = [header for header in told if header[0] != b"content-length"]  # the half's own is right
            if not more:
                await half.whole(start["status"], headers, body)
                return
            await half.begin(start["status"], headers)
        await (half.send(body) if more else half.end(body))


def _checked(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """A header as it goes out: no value may end its own line."""
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"a header named {name[:64]!r} cannot be sent")
    return name.lower(), value
