"""Where a caller is: behind which proxies, what of an address one caller can choose, who is this machine."""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal

NETWORK_V6_BITS: Final = 64
HOPS: Final = 32
KNOWN: Final = 4_096

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
ProxyHeader = Literal["x-forwarded-for", "forwarded"]

_TEXT = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'\s*((?:[^,"]|{_TEXT})*)(?:,|$)')
_FOR = re.compile(rf'(?:^|;)\s*for\s*=\s*({_TEXT}|[^;"\s]+)', re.IGNORECASE)
_V6 = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")
_V4 = re.compile(r"([0-9.]+)(?::\d{1,5})?")


class Proxies:
    """The proxies whose word on a client's address is taken; nobody else's is.

    The client is the right-most address of the header that is not one of theirs: what stands to the left
    of it the client may have written itself (RFC 7239, section 8.1; X-Forwarded-For by custom).
    """

    def __init__(self, networks: Sequence[str], header: ProxyHeader) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._hops = _forwarded if header == "forwarded" else _listed
        self.header = header.encode()
        self._known: dict[str, bool] = {}

    def client(self, peer: str | None, values: Sequence[bytes] | None) -> str | None:
        """The client's address, by its connection's peer and the values of the header, in their order.

        Where a proxy says nothing that can be read, it is the last address that is known.
        """
        if peer is None or not values or not self._trusts(peer):
            return peer
        hops = self._hops(b",".join(values).decode("latin-1"))
        found = peer
        for hop in list(hops)[::-1][:HOPS]:
            address = _address(hop)
            if address is None:
                return found
            found = str(address)
            if not self._is_proxy(address):
                return found
        return found

    def _trusts(self, peer: str) -> bool:
        known = self._known.get(peer)
        if known is None:
            address = _address(peer)
            known = address is not None and self._is_proxy(address)
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[peer] = known
        return known

    def _is_proxy(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _listed(text: str) -> Iterator[str]:
    return (hop.strip() for hop in text.split(","))


def _forwarded(text: str) -> Iterator[str]:
    """What each element says the request was `for`; "" where it does not say, or cannot be read."""
    at = 0
    while at < len(text):
        element = _ELEMENT.match(text, at)
        if element is None:
            yield ""
            return
        named = _FOR.search(element[1])
        yield re.sub(r"\\(.)", r"\1", named[1].strip('"')) if named else ""
        at = element.end()


def _address(text: str) -> Address | None:
    """An address with or without its port; None for anything else, `unknown` say."""
    part = _V6.fullmatch(text) or _V4.fullmatch(text)
    try:
        address = ipaddress.ip_address(part[1] if part else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def network_of(address: str | None) -> str | None:
    """What counts as one caller: an IPv4 address, an IPv6 address by its /64; anything else as it is."""
    if address is None or ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, NETWORK_V6_BITS), strict=False))
    except ValueError:
        return address


def is_here(peer: str | None, client: str | None) -> bool:
    """Whether a request comes from this machine by itself; what a proxy says of it makes nobody local."""
    return peer == client and is_loopback(client)


def is_loopback(address: str | None) -> bool:
    """Whether a peer's address is this machine."""
    return address is None or address.startswith("127.") or address in {"::1", "::ffff:127.0.0.1"}
