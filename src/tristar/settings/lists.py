"""The kinds of list: networks and origins, each with its reader."""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tristar.settings.kinds import Rejected

MOST: Final = 100


@dataclass(frozen=True)
class Several:
    """A list of strings, each of which `read` accepts; none is a list as well."""

    allowed: str
    read: Callable[[str], str]

    def from_text(self, text: str) -> tuple[str, ...]:
        """See `Kind.from_text`; separated by commas."""
        return self.from_toml([part.strip() for part in text.split(",") if part.strip()])

    def from_toml(self, value: object) -> tuple[str, ...]:
        """See `Kind.from_toml`."""
        if not isinstance(value, list) or len(value) > MOST:
            raise Rejected(f"must be {self.allowed}")
        try:
            read = [self.read(each) for each in value if isinstance(each, str)]
        except ValueError:
            raise Rejected(f"must be {self.allowed}") from None
        if len(read) != len(value):
            raise Rejected(f"must be {self.allowed}")
        return tuple(dict.fromkeys(read))


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454): lower case, without a default port."""
    if text == "*":
        return text
    parts = urlsplit(text)
    port = "" if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)} else f":{parts.port}"
    origin = f"{parts.scheme}://{parts.hostname}{port}"
    bare = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
    if not bare or parts.username is not None or parts.path not in {"", "/"} or not origin.isascii():
        raise ValueError(text)
    if not origin.isprintable() or " " in origin:
        raise ValueError(text)
    return origin


NETWORKS: Final = Several('a list of networks, such as ["10.0.0.0/8", "192.0.2.7"]', _network)
ORIGINS: Final = Several('a list of origins, such as ["https://chat.example.org"], or ["*"]', _origin)
