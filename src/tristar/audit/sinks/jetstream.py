"""NATS JetStream: one message per record, acknowledged by the stream, `event_id` as its message id.

The server drops a message id that it has seen within the stream's duplicate window. A batch is sent without
waiting for each acknowledgement in turn, over one connection, so the stream stores it in order; where one is
not stored and later ones are, all from that one on are sent again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from tristar.audit.formats import RENDERERS
from tristar.audit.formats.fields import Fields
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown, gently
from tristar.audit.sinks.tls import client_context

_WINDOW: Final = 100
"""Messages on their way at a time."""
_MESSAGE_ID: Final = "Nats-Msg-Id"


class JetStreamReceiver:
    """See `Receiver`. Its event loop runs only while it is asked to deliver."""

    def __init__(self, options: SinkOptions) -> None:
        self._options = options
        self._render = RENDERERS.get(options.format)
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        try:
            self._runner.run(self._deliver(batch))
        except (NatsError, OSError, TimeoutError) as error:
            raise SinkDown(f"NATS: {_said(error)}") from error
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            self._runner.run(self._hang_up())
        self._runner.close()

    async def _deliver(self, batch: Sequence[Entry]) -> None:
        stream = self._stream or await self._connect()
        for start in range(0, len(batch), _WINDOW):
            window = [
                asyncio.ensure_future(self._publish(stream, entry))
                for entry in gently(batch[start : start + _WINDOW])
            ]
            results = await asyncio.gather(*window, return_exceptions=True)
            for at, result in enumerate(results):
                if isinstance(result, BaseException):
                    raise SinkDown(f"NATS: {_said(result)}", acknowledged=start + at) from result

    async def _publish(self, stream: JetStreamContext, entry: Entry) -> None:
        payload = entry.line if self._render is None else self._render(Fields.of(entry.line))
        await stream.publish(
            self._options.subject,
            payload,
            timeout=self._options.timeout_s,
            headers={_MESSAGE_ID: entry.event_id},
        )

    async def _connect(self) -> JetStreamContext:
        options = self._options
        client = Client()
        secure = options.url.startswith("tls://")
        await client.connect(
            options.url,
            allow_reconnect=False,
            connect_timeout=max(1, round(options.timeout_s)),
            error_cb=_say_nothing,
            user=options.user or None,
            password=options.secret if options.user else None,
            token=options.secret if options.secret and not options.user else None,
            tls=client_context(options.ca_file, options.cert_file, options.key_file) if secure else None,
        )
        self._client = client
        stream = client.jetstream(timeout=options.timeout_s)
        try:
            await stream.find_stream_name_by_subject(options.subject)
        except NotFoundError as error:
            raise SinkDown(f"NATS: no stream takes {options.subject}: add one") from error
        self._stream = stream
        return stream

    async def _hang_up(self) -> None:
        if self._client is not None:
            await self._client.close()


async def _say_nothing(error: Exception) -> None:
    """Whoever publishes is told."""


def _said(error: BaseException) -> str:
    if isinstance(error, APIError):
        return f"{error.code} {error.description}"
    return str(error) or type(error).__name__
