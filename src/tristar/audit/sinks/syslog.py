"""Syslog over TLS: RFC 5425 (octet counting) with messages of RFC 5424.

Syslog knows no acknowledgement, and what a socket accepted may still be lost when the receiver ends. So each
batch has a connection of its own, and counts once its orderly end shows that the receiver has read all of
it: either its close_notify in answer to ours, as RFC 5425, 4.4 demands, or its end of the stream after its
host acknowledged our last byte (rsyslog up to 8.2302 leaves close_notify out). A receiver that ends with
bytes unread resets the connection instead.
"""

import contextlib
import errno
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Sequence
from typing import Final

from tristar.audit.formats import RENDERERS, syslog
from tristar.audit.formats.fields import Fields
from tristar.audit.sinks.options import SinkOptions
from tristar.audit.sinks.receiver import Entry, SinkDown, gently
from tristar.audit.sinks.tls import client_context

DEFAULT_PORT: Final = 6514


class SyslogReceiver:
    """See `Receiver`. `format` chooses the text of a message: the record itself, `cef` or `leef`."""

    def __init__(self, options: SinkOptions) -> None:
        self._address = options.address
        self._timeout_s = options.timeout_s
        self._context = client_context(options.ca_file, options.cert_file, options.key_file)
        self._render = RENDERERS[options.format] if options.format in {"cef", "leef"} else None

    def deliver(self, batch: Sequence[Entry]) -> int:
        """See `Receiver.deliver`."""
        frames = bytearray()
        for entry in gently(batch):
            frames += octet_counted(self._message(entry))
        send_whole(self._address, self._context, bytes(frames), self._timeout_s)
        return 0

    def close(self) -> None:
        """See `Receiver.close`: no connection outlives its batch."""

    def _message(self, entry: Entry) -> bytes:
        fields = Fields.of(entry.line)
        return syslog.render(fields, None if self._render is None else self._render(fields))


def octet_counted(message: bytes) -> bytes:
    """The message framed as RFC 5425, 4.3 has it."""
    return b"%d %b" % (len(message), message)


def send_whole(address: tuple[str, int], context: ssl.SSLContext, data: bytes, timeout_s: float) -> None:
    """Send these bytes over a TLS connection of their own; return once the receiver has read them all.

    Raises:
        SinkDown: it may have read some of them, or none.
    """
    host, port = address
    try:
        with _connected(address, context, timeout_s) as secured:
            secured.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secured.sendall(data)
            _confirm(secured)
    except OSError as error:  # ssl.SSLError is one
        raise SinkDown(f"{host}:{port}: {_said(error)}") from error


def _connected(address: tuple[str, int], context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
    """A TLS connection to the first of the host's addresses that takes one. Raises OSError.

    Wrapped before it is connected: Python 3.11 forgets to close one that is reset just before it is wrapped.
    """
    host, port = address
    failure = OSError(errno.EADDRNOTAVAIL, "its name has no address")
    for family, kind, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        secured = context.wrap_socket(socket.socket(family, kind), server_hostname=host)
        try:
            secured.settimeout(timeout_s)
            secured.connect(place)
        except OSError as error:
            secured.close()
            failure = error
        else:
            return secured
    raise failure


def _confirm(secured: ssl.SSLSocket) -> None:
    """End the stream and see the receiver do the same, every byte of ours read.

    What the receiver said before it read everything proves nothing, so its host is asked too: a host that
    throws unread bytes away resets the connection, and one that has got them acknowledges them.
    """
    with contextlib.suppress(ssl.SSLEOFError):  # the end of the stream without a close_notify
        secured.unwrap()
    if socket.socket.recv(secured, 1) or _unacknowledged_bytes(secured):
        raise ConnectionResetError("the receiver ended before it had read everything")


def _unacknowledged_bytes(secured: ssl.SSLSocket) -> int:
    """What the receiver's host has not acknowledged (SIOCOUTQ, Linux)."""
    answer = fcntl.ioctl(secured.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
