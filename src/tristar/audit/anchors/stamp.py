"""RFC 3161 time stamps: the question to an authority, and the checking of its answer.

Checked are the status, the digest and the nonce, the CMS signature over the signed attributes (RFC 5652,
5.4), the signer's identity (RFC 5035), its purpose, and its chain to an authority that the operator trusts,
as it was at the time of the stamp. Revocation is not asked for.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from tristar.audit.anchors.der import (
    INTEGER,
    OCTETS,
    OID,
    SEQUENCE,
    SET,
    TIME,
    DerInvalid,
    Element,
    encoded,
    integer,
    oid,
)
from tristar.audit.sinks.receiver import SinkDown

STAMPS: Final = ".tsr"
"""How the files of answers end."""
_SHA256: Final = oid("2.16.840.1.101.3.4.2.1")
_HASHES: Final[dict[bytes, type[hashes.HashAlgorithm]]] = {
    _SHA256: hashes.SHA256,
    oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384,
    oid("2.16.840.1.101.3.4.2.3"): hashes.SHA512,
}
_SIGNED_DATA: Final = oid("1.2.840.113549.1.7.2")
_TST_INFO: Final = oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE: Final = oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE: Final = oid("1.2.840.113549.1.9.16.2.12")
_SIGNING_CERTIFICATE_V2: Final = oid("1.2.840.113549.1.9.16.2.47")
_UNREADABLE: Final = (
    ValueError,  # DerInvalid is one
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the library raises for certificates and keys that are none."""
_GRANTED: Final = {0, 1}
_TAGGED_0: Final = 0xA0
_TAGGED_1: Final = 0xA1
_MOST_STEPS: Final = 8


class StampInvalid(ValueError):
    """The answer does not prove that these bytes existed at the time that it names."""


def question(data: bytes, nonce: int) -> bytes:
    """The TimeStampReq for these bytes; the authority's certificate is asked for."""
    imprint = encoded(SEQUENCE, encoded(SEQUENCE, _SHA256, b"\x05\x00"), _digest_octets(data))
    return encoded(SEQUENCE, integer(1), imprint, integer(nonce), b"\x01\x01\xff")


def check(
    answer: bytes, data: bytes, authorities: Sequence[x509.Certificate], nonce: int | None = None
) -> dt.datetime:
    """The time at which an authority saw these bytes; `nonce` is the question's, None when it is forgotten.

    Raises:
        StampInvalid: the answer proves nothing.
    """
    try:
        return _Token(answer).check(data, authorities, nonce)
    except StampInvalid:
        raise
    except _UNREADABLE as error:
        raise StampInvalid(f"it is no time stamp: {error}") from error


def load_authorities(path: Path | None) -> list[x509.Certificate]:
    """The certificates in a PEM file. Raises SinkDown: there are none."""
    try:
        return x509.load_pem_x509_certificates(b"" if path is None else path.read_bytes())
    except (OSError, ValueError) as error:
        raise SinkDown(f"tsa_ca_file {path}: holds no certificate: {error}") from error


def _digest_octets(data: bytes) -> bytes:
    return encoded(OCTETS, hashlib.sha256(data).digest())


class _Token:
    def __init__(self, answer: bytes) -> None:
        whole = Element.parse(answer)
        _expect(whole.tag == SEQUENCE, "it is no time stamp")
        outer = whole.items()
        status = outer.take(SEQUENCE).items().take(INTEGER).number
        if status not in _GRANTED:
            raise StampInvalid(f"the authority refused (status {status})")
        wrapped = outer.take(SEQUENCE).items()
        _expect(wrapped.take(OID).raw == _SIGNED_DATA, "it is not signed data")
        signed = wrapped.take(_TAGGED_0).items().take(SEQUENCE).items()
        signed.take(INTEGER)
        signed.take(SET)
        content = signed.take(SEQUENCE).items()
        _expect(content.take(OID).raw == _TST_INFO, "it signs something else")
        self._info = content.take(_TAGGED_0).items().take(OCTETS).content
        self._certificates = _certificates(signed.maybe(_TAGGED_0))
        signed.maybe(_TAGGED_1)
        self._signer = signed.take(SET).items().take(SEQUENCE)

    def check(self, data: bytes, authorities: Sequence[x509.Certificate], nonce: int | None) -> dt.datetime:
        when = self._read_info(data, nonce)
        certificate = self._check_signature()
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        _expect(ExtendedKeyUsageOID.TIME_STAMPING in usage, "its signer is no time-stamp authority")
        self._check_chain(certificate, authorities, when)
        return when

    def _read_info(self, data: bytes, nonce: int | None) -> dt.datetime:
        info = Element.parse(self._info).items()
        info.take(INTEGER)
        info.take(OID)
        imprint = info.take(SEQUENCE).items()
        _expect(imprint.take(SEQUENCE).items().take(OID).raw == _SHA256, "it is about another kind of digest")
        _expect(imprint.take(OCTETS).raw == _digest_octets(data), "it is about other bytes")
        info.take(INTEGER)
        when = _time(info.take(TIME).content)
        info.maybe(SEQUENCE)
        info.maybe(0x01)
        said = info.maybe(INTEGER)
        _expect(nonce is None or (said is not None and said.number == nonce), "it answers another question")
        return when

    def _check_signature(self) -> x509.Certificate:
        """The certificate of who signed the content, once it is clear that it did."""
        signer = self._signer.items()
        signer.take(INTEGER)
        if signer.maybe(SEQUENCE) is None:
            signer.take(0x80)
        algorithm = _HASHES.get(signer.take(SEQUENCE).items().take(OID).raw)
        if algorithm is None:
            raise StampInvalid("it is signed over a digest that is not trusted")
        attributes = signer.take(_TAGGED_0)
        signer.take(SEQUENCE)
        signature = signer.take(OCTETS).content
        values = _attributes(attributes)
        _expect(values.get(_CONTENT_TYPE) == _TST_INFO, "its signature is for another kind of content")
        digest = encoded(OCTETS, hashlib.new(algorithm().name, self._info).digest())
        _expect(values.get(_MESSAGE_DIGEST) == digest, "its content was altered")
        certificate = self._named(values)
        signed = bytes((SET,)) + attributes.raw[1:]
        _expect(_verifies(certificate, signature, signed, algorithm()), "its signature is wrong")
        return certificate

    def _named(self, values: dict[bytes, bytes]) -> x509.Certificate:
        """The certificate that the signed attributes name by its hash."""
        name, v2 = b"", _SIGNING_CERTIFICATE_V2 in values
        value = values.get(_SIGNING_CERTIFICATE_V2, values.get(_SIGNING_CERTIFICATE))
        if value is None:
            raise StampInvalid("it does not say who signed it")
        first = Element.parse(value).items().take(SEQUENCE).items().take(SEQUENCE).items()
        algorithm: hashes.HashAlgorithm = hashes.SHA256() if v2 else hashes.SHA1()  # nosec B303 # noqa: S303 - names, proves nothing
        chosen = first.maybe(SEQUENCE) if v2 else None
        if chosen is not None:
            algorithm = _HASHES.get(chosen.items().take(OID).raw, hashes.SHA256)()
        name = first.take(OCTETS).content
        found = [each for each in self._certificates if each.fingerprint(algorithm) == name]
        if not found:
            raise StampInvalid("it does not hold its signer's certificate")
        return found[0]

    def _check_chain(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate], when: dt.datetime
    ) -> None:
        current = certificate
        for _ in range(_MOST_STEPS):
            valid = current.not_valid_before_utc <= when <= current.not_valid_after_utc
            _expect(valid, "a certificate of its signer was not valid at that time")
            if current in authorities or any(_issued(current, each, when) for each in authorities):
                return
            above = [each for each in self._certificates if _issued(current, each, when)]
            if not above or above[0] == current:
                break
            current = above[0]
        raise StampInvalid("its signer is not vouched for by an authority in tsa_ca_file")


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        raise StampInvalid(problem)


def _certificates(element: Element | None) -> list[x509.Certificate]:
    within = element.items() if element is not None else ()
    return [x509.load_der_x509_certificate(each.raw) for each in within if each.tag == SEQUENCE]


def _attributes(element: Element) -> dict[bytes, bytes]:
    """The signed attributes: their one value each, by their kind."""
    found = {}
    for each in element.items():
        parts = each.items()
        kind, values = parts.take(OID).raw, parts.take(SET)
        found[kind] = next(iter(values.items()), values).raw
    return found


def _verifies(
    certificate: x509.Certificate, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm
) -> bool:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ec.ECDSA(algorithm))
        else:
            raise StampInvalid("it is signed with a kind of key that is not known here")
    except InvalidSignature:
        return False
    return True


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, when: dt.datetime) -> bool:
    """Whether the issuer, an authority at that time, signed the certificate."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return constraints.ca and issuer.not_valid_before_utc <= when <= issuer.not_valid_after_utc


def _time(content: bytes) -> dt.datetime:
    """A GeneralizedTime in UTC, with or without fractions of a second."""
    text = content.decode("ascii", "replace")
    whole, _, fraction = text.removesuffix("Z").partition(".")
    if not text.endswith("Z") or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise DerInvalid("a time that is none")
    try:
        moment = dt.datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise DerInvalid("a time that is none") from error
    return moment + dt.timedelta(microseconds=int((fraction + "000000")[:6]))
