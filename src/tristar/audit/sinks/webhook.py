"""A webhook: JSON lines, signed as the Standard Webhooks specification has it (symmetric, `v1`).

`webhook-signature` is `v1,` and the base64 HMAC-SHA256, under the shared secret, of
`{webhook-id}.{webhook-timestamp}.{body}`. `webhook-id` names the batch by its first and last number, and
stays the same when the same batch is sent again.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Final

from tristar.audit.formats import RENDERERS
from tristar.audit.formats.fields import Fields
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, gently
from tristar.audit.sinks.web import Web

_ENCODED: Final = "whsec_"


class WebhookReceiver:
    """See `Receiver`: any 2xx acknowledges the batch."""

    def __init__(self, options: SinkOptions) -> None:
        self._web = Web(options)
        self._url = options.url
        self._key = signing_key(options.secret or "")
        self._render = RENDERERS.get(options.format)

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        body = b"".join([self._line(entry) for entry in gently(batch)])
        name, now = f"audit-{batch[0].seq}-{batch[-1].seq}", str(int(time.time()))
        headers = {
            "content-type": "application/x-ndjson",
            "webhook-id": name,
            "webhook-timestamp": now,
            "webhook-signature": signature(self._key, name, now, body),
        }
        self._web.post(self._url, body, headers)
        return 0

    def close(self) -> None:
        """See `Receiver.close`."""
        self._web.close()

    def _line(self, entry: Entry) -> bytes:
        return (entry.line if self._render is None else self._render(Fields.of(entry.line))) + b"\n"


def signature(key: bytes, name: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    digest = hmac.digest(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: base64 after `whsec_`, else its own bytes."""
    if secret.startswith(_ENCODED):
        try:
            return base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()
