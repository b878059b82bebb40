"""Checkpoints as syslog messages over TLS, acknowledged as those of a sink are."""

import socket
import time

import msgspec

from tristar.audit.anchors.anchor import Checkpoint
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.sinks.syslog import octet_counted, send_whole
from tristar.audit.sinks.tls import client_context

_PRIORITY = 13 * 8 + 5  # log audit, notice


class SyslogAnchor:
    """See `Anchor`. The text is `{"checkpoint": ...}`, the structured data its origin and size."""

    def __init__(self, options: AnchorOptions) -> None:
        self._address = options.address
        self._timeout_s = options.timeout_s
        self._context = client_context(options.ca_file, options.cert_file, options.key_file)

    def put(self, checkpoint: Checkpoint) -> None:
        """See `Anchor.put`."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = msgspec.json.encode({"checkpoint": checkpoint.raw.decode()}).decode()
        origin = checkpoint.origin.translate({ord(char): f"\\{char}" for char in '\\"]'})
        message = (
            f"<{_PRIORITY}>1 {stamp} {socket.gethostname()[:255] or '-'} ailinux-backend - audit_checkpoint "
            f'[tristar@32473 origin="{origin}" size="{checkpoint.size}"] \ufeff{text}'
        )
        send_whole(self._address, self._context, octet_counted(message.encode()), self._timeout_s)
