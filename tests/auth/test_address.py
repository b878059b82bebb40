"""Who a client is behind proxies: their word counts, the client's own does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.auth.address import Proxies, is_here, network_of

NETWORKS = ("10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.9, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.5, 10.2.3.4", "203.0.113.5"),
        ("10.0.0.1", " 203.0.113.5:4711 ", "203.0.113.5"),
        ("10.0.0.1", "[2001:db8:9::1]:443", "2001:db8:9::1"),
        ("10.0.0.1", "::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8:1::7", "203.0.113.5", "203.0.113.5"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.7, 10.0.0.8", "10.0.0.7"),
        ("10.0.0.1", "unknown, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        ("203.0.113.9", "198.51.100.9", "203.0.113.9"),
        ("localhost", "198.51.100.9", "localhost"),
        (None, "198.51.100.9", None),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(peer: str | None, said: str, client: str | None) -> None:
    """Only proxies are believed; what cannot be read ends at the last address that could."""
    assert Proxies(NETWORKS, "x-forwarded-for").client(peer, [said.encode()]) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=203.0.113.5", "203.0.113.5"),
        ('For="[2001:db8:9::1]:4711";proto=https;by=10.0.0.1', "2001:db8:9::1"),
        ("for=198.51.100.9, for=203.0.113.5;host=a", "203.0.113.5"),
        ("proto=https;for=203.0.113.5, for=10.1.1.1", "203.0.113.5"),
        ('host="a,for=198.51.100.9";for=203.0.113.5', "203.0.113.5"),
        ('host="\\",for=127.0.0.1\\"";for=203.0.113.5', "203.0.113.5"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        ('for="203.0.113.5', "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_with_its_quotes(said: str, client: str) -> None:
    """RFC 7239; a quoted comma separates nothing."""
    assert Proxies(NETWORKS, "forwarded").client("10.0.0.1", [said.encode()]) == client


def test_a_header_in_several_lines_is_one_list() -> None:
    """In the order of the lines."""
    said = [b"198.51.100.9", b"203.0.113.5", b"10.0.0.2"]

    assert Proxies(NETWORKS, "x-forwarded-for").client("10.0.0.1", said) == "203.0.113.5"


@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from(["10.0.0.1", "203.0.113.9", "::1", "x"]))
def test_no_header_makes_anybody_local(said: list[bytes], peer: str) -> None:
    """Whatever it holds, it is read, and who is not connected from here is not here."""
    for proxies in (Proxies(NETWORKS, "x-forwarded-for"), Proxies(NETWORKS, "forwarded")):
        client = proxies.client(peer, said)

        assert is_here(peer, client) is (peer == client == "::1")


def test_a_loopback_address_in_a_header_is_not_this_machine() -> None:
    """A client behind a trusted network gets nothing by it."""
    client = Proxies(NETWORKS, "x-forwarded-for").client("10.0.0.1", [b"127.0.0.1"])

    assert (client, is_here("10.0.0.1", client), is_here("127.0.0.1", "127.0.0.1")) == (
        "127.0.0.1",
        False,
        True,
    )


@given(st.text(max_size=40))
def test_anything_has_a_network(address: str) -> None:
    """What is no address is its own."""
    assert network_of(address) is not None
