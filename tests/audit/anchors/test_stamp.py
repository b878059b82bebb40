"""RFC 3161 time stamps, made by openssl, checked by us, and the other way round."""

import datetime as dt
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.anchors.authority import Stamper
from tests.audit.sinks.papers import Authority

from tristar.audit.anchors.der import DerInvalid, Element, encoded, integer, oid
from tristar.audit.anchors.stamp import StampInvalid, check, question

DATA = b"tristar-audit/test\n7\nabc\n"
NONCE = 0xFEDC_BA98_7654_3210


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The one that is trusted."""
    return Authority(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def roots(authority: Authority) -> list[x509.Certificate]:
    """Its certificate."""
    return x509.load_pem_x509_certificates(authority.cert.read_bytes())


@pytest.fixture(scope="module")
def answer(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good stamp of DATA."""
    stamper = Stamper(tmp_path_factory.mktemp("tsa"), authority.issue("tsa", stamps_time=True))
    return stamper.stamp(question(DATA, NONCE))


def test_a_good_stamp_tells_when(answer: bytes, roots: list[x509.Certificate]) -> None:
    """With the question's nonce at hand, and later without it."""
    when = check(answer, DATA, roots, NONCE)

    assert abs(dt.datetime.now(dt.UTC) - when) < dt.timedelta(minutes=5)
    assert check(answer, DATA, roots) == when


def test_openssl_reads_our_question_and_agrees_on_the_answer(
    answer: bytes, authority: Authority, tmp_path: Path
) -> None:
    """Anybody can check what we keep, without us."""
    (tmp_path / "q.tsq").write_bytes(question(DATA, NONCE))
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "a.tsr").write_bytes(answer)
    text = subprocess.run(
        ["openssl", "ts", "-query", "-in", str(tmp_path / "q.tsq"), "-text"], check=True, capture_output=True
    ).stdout.decode()
    verdict = subprocess.run(
        ["openssl", "ts", "-verify", "-in", str(tmp_path / "a.tsr"), "-data", str(tmp_path / "data"),
         "-CAfile", str(authority.cert)],
        check=True, capture_output=True,
    ).stdout.decode()  # fmt: skip

    assert "sha256" in text
    assert "FEDCBA9876543210" in text
    assert "Verification: OK" in verdict


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_the_signer_may_be_named_by_any_digest(
    authority: Authority, roots: list[x509.Certificate], tmp_path: Path, digest: str
) -> None:
    """ESSCertID with SHA-1, ESSCertIDv2 with the others: the name proves nothing, the signature does."""
    pair = authority.issue(f"tsa-{digest}", stamps_time=True)
    answer = Stamper(tmp_path, pair, digest).stamp(question(DATA, NONCE))

    assert check(answer, DATA, roots, NONCE).tzinfo is dt.UTC


@pytest.mark.parametrize(
    ("data", "nonce", "problem"),
    [(DATA + b"x", NONCE, "other bytes"), (DATA, NONCE + 1, "another question")],
)
def test_a_stamp_of_something_else_proves_nothing(
    answer: bytes, roots: list[x509.Certificate], data: bytes, nonce: int, problem: str
) -> None:
    """Neither other bytes nor an answer that was kept for later."""
    with pytest.raises(StampInvalid, match=problem):
        check(answer, data, roots, nonce)


def test_a_stranger_stamps_nothing(answer: bytes, tmp_path: Path) -> None:
    """Only the authorities in tsa_ca_file count."""
    stranger = Authority(tmp_path, "stranger")

    with pytest.raises(StampInvalid, match="not vouched for"):
        check(answer, DATA, x509.load_pem_x509_certificates(stranger.cert.read_bytes()))


def test_the_refusal_of_an_authority_is_no_stamp(roots: list[x509.Certificate]) -> None:
    """PKIStatus 2, rejection."""
    with pytest.raises(StampInvalid, match="refused"):
        check(encoded(0x30, encoded(0x30, integer(2))), DATA, roots)


def test_no_changed_byte_makes_another_proof(answer: bytes, roots: list[x509.Certificate]) -> None:
    """One byte after the other: what is signed, and the signature, must be as they were; the rest says no
    more than before."""
    when, quiet = check(answer, DATA, roots, NONCE), set[int]()
    for at in range(len(answer)):
        altered = bytearray(answer)
        altered[at] ^= 0x01
        try:
            found = check(bytes(altered), DATA, roots, NONCE)
        except StampInvalid:
            continue
        quiet.add(at)
        assert found == when

    digest = answer.index(hashlib.sha256(DATA).digest())
    signed, signature = range(digest - 30, digest + 60), range(len(answer) - 64, len(answer))
    assert quiet.isdisjoint(signed)
    assert quiet.isdisjoint(signature)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    """A hostile answer can do no more than be refused."""
    with pytest.raises(StampInvalid):
        check(data, DATA, [])


@given(st.integers(0, 1 << 70), st.binary(max_size=70_000))
def test_der_reads_what_it_writes(number: int, content: bytes) -> None:
    """Lengths of one and of several bytes; numbers whose first bit is set stay positive."""
    assert Element.parse(integer(number)).number == number
    assert Element.parse(encoded(0x04, content)).content == content


_NO_DER = ("", "30", "3080", "300500", "30850101010101", "050000")


@pytest.mark.parametrize("data", [bytes.fromhex(text) for text in _NO_DER])
def test_what_is_no_der_is_refused(data: bytes) -> None:
    """Cut short, indefinite or excessive lengths, bytes behind the end."""
    with pytest.raises(DerInvalid):
        Element.parse(data)


def test_object_identifiers_are_encoded_as_openssl_does() -> None:
    """SHA-256's own, from its RFC."""
    assert oid("2.16.840.1.101.3.4.2.1").hex() == "0609608648016503040201"
