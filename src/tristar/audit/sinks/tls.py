"""TLS towards receivers: their certificate is always checked, ours is shown where one is configured."""

import ssl
from pathlib import Path

from tristar.audit.sinks.receiver import SinkDown


def client_context(
    ca_file: Path | None = None, cert_file: Path | None = None, key_file: Path | None = None
) -> ssl.SSLContext:
    """A context for connecting. Without `ca_file` the system's authorities are believed.

    Raises:
        SinkDown: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        named = " or ".join(str(path) for path in (ca_file, cert_file, key_file) if path is not None)
        raise SinkDown(f"{named}: cannot be used for TLS: {error}") from error
    return context
