"""The server's certificate: read at the start, and again whenever its files change.

Each connection keeps the certificate that it began with. New files are put in force only if they work; until
then the ones from before stay.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

EVERY_S: Final = 2.0
HANDSHAKE_LIMIT_S: Final = 10.0

_log = structlog.get_logger("tristar.edge")

Signature = tuple[tuple[int, int, int] | None, ...]


class CertificateInvalid(Exception):
    """The files cannot be used: why, in words that hold no part of the key."""


class Certificate:
    """A certificate chain and its private key, both PEM. Event-loop thread only.

    Raises:
        CertificateInvalid: the files cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert, self._key = cert, key
        self._seen = self._signature()
        self._current = load(cert, key)
        self.ends = end_of(cert)
        """When what is in force ends, in seconds since the epoch."""
        self.context = load(cert, key)
        """For the listening socket: gives each connection what is in force as it begins."""
        self.context.sni_callback = self._give

    @classmethod
    def of(cls, cert: Path | None, key: Path | None) -> "Certificate | None":
        """The certificate of these files; None where TLS is not asked for.

        Raises:
            CertificateInvalid: the files cannot be used.
        """
        return cls(cert, key) if cert and key else None

    def refresh(self) -> bool:
        """Read the files if they have changed; whether what is in force is another now."""
        seen = self._signature()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._current, self.ends = load(self._cert, self._key), end_of(self._cert)
        except CertificateInvalid as invalid:
            _log.error("the new TLS certificate cannot be used; the former one stays", reason=str(invalid))
            return False
        _log.info("TLS certificate read again", file=str(self._cert))
        return True

    async def watch(self) -> None:
        """`refresh` every `EVERY_S`, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.refresh()

    def _give(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        del name, context
        connection.context = self._current

    def _signature(self) -> Signature:
        return tuple(_signature(path) for path in (self._cert, self._key))


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """A server's context with this certificate: TLS 1.2 or newer, HTTP/1.1 alone.

    Raises:
        CertificateInvalid: a file cannot be read, is no PEM, is encrypted, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    for path in (cert, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise CertificateInvalid(f"{path} cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "it is no PEM file, or its key is encrypted"
        raise CertificateInvalid(f"{cert} with {key}: {str(reason).replace('_', ' ').lower()}") from error
    return context


def end_of(cert: Path) -> float:
    """When the first of this chain ends, in seconds since the epoch: from then on clients refuse it.

    Raises:
        CertificateInvalid: the file cannot be read or holds no certificate.
    """
    from cryptography import x509  # noqa: PLC0415 - 20 ms, which only a start with TLS pays

    try:
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateInvalid(f"{cert} holds no certificate that can be read") from error
    return min(each.not_valid_after_utc.timestamp() for each in chain)


def _no_password() -> str:
    """Instead of a question on the terminal that a service would wait at for ever."""
    raise ValueError("the private key is encrypted")


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
