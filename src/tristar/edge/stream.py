"""An answer in pieces, which ends when the client does."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tristar.relay.departure import ClientGone


class Stream(StreamingResponse):
    """A `StreamingResponse` that tells a client that has had everything from one that left before.

    Raises (when called):
        ClientGone: the client left before the last piece; the pieces' maker was stopped.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        whole = False

        async def heard() -> Mapping[str, Any]:
            try:
                return await receive()
            except ClientGone:
                return {"type": "http.disconnect"}

        async def sent(message: Mapping[str, Any]) -> None:
            nonlocal whole
            whole = whole or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(dict(message))

        await super().__call__(scope, heard, sent)  # type: ignore[arg-type]  # mappings, where only read
        if not whole:
            raise ClientGone
