"""Certificates as files that change under a running server."""

import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.upstream.tls import Authority

from tristar.edge.tls import Certificate, CertificateInvalid, end_of, load


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A good file."""
    return Authority(tmp_path).pem()


def test_the_same_files_are_read_once(pem: Path) -> None:
    """And again when they are replaced."""
    certificate = Certificate(pem, pem)
    unchanged = certificate.refresh()
    pem.write_bytes(pem.read_bytes() + b"\n")

    assert [unchanged, certificate.refresh(), certificate.refresh()] == [False, True, False]


@pytest.mark.parametrize("content", [None, b"", b"\0\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_bad_file_is_told_once_and_changes_nothing(pem: Path, content: bytes | None) -> None:
    """Until it is good again."""
    good = pem.read_bytes()
    certificate = Certificate(pem, pem)
    before = certificate._current
    if content is None:
        pem.unlink()
    else:
        pem.write_bytes(content)
    looks = [certificate.refresh(), certificate.refresh()]
    kept = certificate._current
    pem.write_bytes(good)

    assert looks == [False, False]
    assert kept is before
    assert certificate.refresh()


def test_it_is_known_when_the_first_of_the_chain_ends(tmp_path: Path) -> None:
    """An intermediate that ends before its leaf ends the whole."""
    authority = Authority(tmp_path)
    leaf, ended = authority.pem(), authority.pem(expired=True)
    alone = end_of(leaf)
    leaf.write_bytes(leaf.read_bytes() + ended.read_bytes())

    assert end_of(ended) < time.time() < alone
    assert end_of(leaf) == end_of(ended)


def test_the_end_is_that_of_the_certificate_in_force(pem: Path, tmp_path: Path) -> None:
    """Files that cannot be used change it as little as what is shown."""
    (tmp_path / "other").mkdir()
    ended = Authority(tmp_path / "other").pem(expired=True)
    certificate = Certificate(pem, pem)
    before = certificate.ends
    pem.write_bytes(b"torn")
    certificate.refresh()
    kept = certificate.ends
    pem.write_bytes(ended.read_bytes())
    certificate.refresh()

    assert kept == before > time.time()
    assert certificate.ends == end_of(ended) < time.time()


def test_a_key_of_another_certificate_is_refused(pem: Path, tmp_path: Path) -> None:
    """Before anything is served with it; the message holds no key."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other").pem()

    with pytest.raises(CertificateInvalid, match="mismatch"):
        load(pem, other)


def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_password(pem: Path, tmp_path: Path) -> None:
    """A service has no terminal to ask on."""
    key = serialization.load_pem_private_key(pem.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )

    with pytest.raises(CertificateInvalid, match="encrypted"):
        load(pem, locked)


def test_only_http_1_1_over_tls_1_2_or_newer_is_offered(pem: Path) -> None:
    """What the server speaks."""
    context = load(pem, pem)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
