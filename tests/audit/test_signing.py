"""The signing key, its notes, and its succession."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.bench import Bench

from tristar.audit.checkpoint import CHECKPOINT
from tristar.audit.signing import (
    KEY_FILE,
    PUBLIC_FILE,
    KeyInvalid,
    Note,
    Rotation,
    Signer,
    VerifierKey,
    trusted_keys,
)
from tristar.audit.verify import verify


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """A fresh key."""
    return Signer.load_or_create(tmp_path, name="tristar-audit/test/1")


def test_a_key_is_made_once_and_kept_to_its_owner(tmp_path: Path, signer: Signer) -> None:
    """0600; the public half beside it, readable by `VerifierKey.load`."""
    again = Signer.load_or_create(tmp_path, name="another name")

    assert again.verifier == signer.verifier == VerifierKey.load(tmp_path / PUBLIC_FILE)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, signer: Signer) -> None:
    """With what to do about it."""
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeyInvalid, match="chmod 600"):
        Signer.load_or_create(tmp_path)


@pytest.mark.parametrize("text", ["", "garbage", "PRIVATE+KEY+a+b+!!!", "PRIVATE+KEY+a+00000000+AAAA"])
def test_a_key_file_that_is_none_is_named(tmp_path: Path, signer: Signer, text: str) -> None:
    """And never replaced by a new key."""
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(KeyInvalid, match=KEY_FILE):
        Signer.load_or_create(tmp_path)

    assert (tmp_path / KEY_FILE).read_text() == text


def test_the_secret_is_in_no_repr(signer: Signer) -> None:
    """Only the public key shows."""
    secret = signer.private_text().split("+", 4)[4]  # base64 has plus signs of its own

    assert secret not in repr(signer)
    assert signer.verifier.text in repr(signer)


@given(st.integers(0, 2_000))
def test_no_bit_of_a_note_can_be_changed(bit: int) -> None:
    """Neither in the text nor in the signature line, unused base64 bits included."""
    signer = Signer("log", _key())
    note = bytearray(signer.sign(b"origin\n5\nroot\n"))
    note[bit // 8 % len(note)] ^= 1 << bit % 8
    try:
        found = Note.parse(bytes(note)).signer([signer.verifier])
    except ValueError:
        found = None

    assert found is None


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_a_key_text_survives_and_a_wrong_one_does_not(signer: Signer) -> None:
    """The id in it is checked against name and key."""
    text = signer.verifier.text
    name, key_id, body = text.split("+", 2)

    assert VerifierKey.parse(text + "\n") == signer.verifier
    for wrong in ("", "a+b", f"{name}x+{key_id}+{body}", f"{name}+{key_id}+AAAA", f"{name}+{key_id}+*"):
        with pytest.raises(KeyInvalid):
            VerifierKey.parse(wrong)


def test_trust_passes_on_through_signed_rotations_only(signer: Signer) -> None:
    """Forwards, over several steps, and not through a statement with another's signature."""
    second, first_rotation = signer.successor()
    third, second_rotation = second.successor()
    rotations = [Rotation.from_details(r.details()) for r in (second_rotation, first_rotation)]
    forged = {**first_rotation.details(), "signature": base64.b64encode(bytes(64)).decode()}

    assert trusted_keys([signer.verifier], rotations) == [signer.verifier, second.verifier, third.verifier]
    assert trusted_keys([third.verifier], rotations) == [third.verifier]
    with pytest.raises(KeyInvalid):
        Rotation.from_details(forged)


def test_a_log_verifies_before_and_after_a_rotation(tmp_path: Path) -> None:
    """With the old public key as with the new; the record of it is in the log; the log reopens."""
    bench = Bench(tmp_path)
    bench.write(5)
    old = bench.signer.verifier
    anchor = (bench.directory / CHECKPOINT).read_bytes()
    writer = bench.open()
    new = writer.rotate_key(tmp_path / "data")
    writer.close()
    bench.write(5, prefix="later")

    assert new == bench.signer.verifier != old
    assert verify(bench.directory, old, anchor).ok
    assert verify(bench.directory, new).ok
    assert [r["action"] for r in bench.records()].count("key_updated") == 1
