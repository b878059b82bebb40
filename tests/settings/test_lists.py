"""Lists of networks and origins, and the certificate's two files."""

from pathlib import Path

import pytest
from tests.upstream.tls import Authority

from tristar.errors import SettingsInvalid
from tristar.settings import load
from tristar.settings.kinds import Rejected
from tristar.settings.lists import NETWORKS, ORIGINS


def test_networks_are_read_in_their_standard_form() -> None:
    """An address alone is a network of one."""
    assert NETWORKS.from_toml(["10.0.0.0/8", "192.0.2.7", "2001:DB8::/32"]) == (
        "10.0.0.0/8",
        "192.0.2.7/32",
        "2001:db8::/32",
    )
    assert NETWORKS.from_text("10.0.0.0/8, ::1") == ("10.0.0.0/8", "::1/128")
    assert NETWORKS.from_toml([]) == ()


@pytest.mark.parametrize("value", [["10.0.0.1/8"], ["proxy"], [""], [8], "10.0.0.0/8", ["::1"] * 101, [True]])
def test_what_is_no_list_of_networks_is_rejected(value: object) -> None:
    """Host bits that are set would mean something else than they say."""
    with pytest.raises(Rejected):
        NETWORKS.from_toml(value)


def test_origins_are_read_as_browsers_send_them() -> None:
    """Lower case, without a default port or a path."""
    assert ORIGINS.from_toml(["https://Chat.Example.org:443/", "http://localhost:3000", "*"]) == (
        "https://chat.example.org",
        "http://localhost:3000",
        "*",
    )


@pytest.mark.parametrize(
    "origin",
    [
        "chat.example.org",
        "ftp://x",
        "https://",
        "https://u@x",
        "https://x/path",
        "https://x?q",
        "https://x:0x",
        "",
    ],
)
def test_what_is_no_origin_is_rejected(origin: str) -> None:
    """Rather than never matching."""
    with pytest.raises(Rejected):
        ORIGINS.from_toml([origin])


def test_a_certificate_is_checked_before_anything_starts(tmp_path: Path) -> None:
    """`tristar check` names the file and why; relative paths count from the directory."""
    pem = Authority(tmp_path).pem()
    (tmp_path / "tristar.toml").write_text(f'[server]\ntls_cert = "{pem.name}"\ntls_key = "{pem.name}"\n')
    good = load({}, tmp_path)
    pem.write_text("nothing")
    with pytest.raises(SettingsInvalid) as caught:
        load({}, tmp_path)

    assert good.server.tls_cert == pem
    assert [fault.key for fault in caught.value.faults] == ["server.tls_cert"]
    assert str(pem) in caught.value.faults[0].problem


def test_one_file_without_the_other_is_a_fault(tmp_path: Path) -> None:
    """Rather than plain HTTP that nobody wanted."""
    (tmp_path / "tristar.toml").write_text('[server]\ntls_cert = "a.pem"\n')
    with pytest.raises(SettingsInvalid) as caught:
        load({}, tmp_path)

    assert caught.value.faults[0].key == "server.tls_cert"
    assert "tls_key" in caught.value.faults[0].fix
