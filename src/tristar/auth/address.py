"""Where a caller is: what of an address one caller can choose freely, and who is this machine."""

import ipaddress
from typing import Final

NETWORK_V6_BITS: Final = 64


def network_of(address: str | None) -> str | None:
    """What counts as one caller: an IPv4 address, an IPv6 address by its /64; anything else as it is."""
    if address is None or ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, NETWORK_V6_BITS), strict=False))
    except ValueError:
        return address


def is_loopback(address: str | None) -> bool:
    """Whether a peer's address is this machine."""
    return address is None or address.startswith("127.") or address in {"::1", "::ffff:127.0.0.1"}
