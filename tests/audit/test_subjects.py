"""The subjects' keys: durable before a record needs them, gone everywhere once they are destroyed."""

import multiprocessing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.audit.specimens import KEY, ORIGIN, exchange, record

from tristar.audit.disk import Disk
from tristar.audit.record import MAX_LINE_BYTES, Scribe
from tristar.audit.subjects import SUBJECTS, Keyring, unseal
from tristar.clock import ManualClock
from tristar.errors import AuditCorrupt


class Stubborn(Disk):
    """A disk that takes nothing."""

    def fdatasync(self, descriptor: int) -> None:
        """Fail."""
        raise OSError(28, "No space left on device")


def pen(keyring: Keyring | None) -> Scribe:
    """A scribe that seals with this keyring."""
    return Scribe(ORIGIN, clock=ManualClock(), fingerprint_key=KEY, keyring=keyring)


def key_id(folder: Path, subject: str) -> str:
    """The id of the subject's key, made in a process of its own."""
    return Keyring.make(folder).key_for(subject).id


def test_a_key_is_made_once_and_found_by_every_process(tmp_path: Path) -> None:
    """Four processes that meet the same subjects at once agree on their keys."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        ids = pool.starmap(key_id, [(tmp_path, f"user-{at % 5}") for at in range(40)])

    assert len(set(ids)) == 5
    assert [ids[at] == ids[at % 5] for at in range(40)] == [True] * 40
    assert (tmp_path / SUBJECTS).stat().st_size == 64 * 6
    assert (tmp_path / SUBJECTS).stat().st_mode & 0o777 == 0o600


def test_a_destroyed_key_is_forgotten_by_those_who_have_it(tmp_path: Path) -> None:
    """Also by a keyring that was opened before; the next record of the subject has a new key."""
    ours, theirs = Keyring.make(tmp_path), Keyring.make(tmp_path)
    anna, bert = ours.key_for("anna"), ours.key_for("bert")
    assert theirs.find("anna") is not None

    assert theirs.destroy("anna") == anna.id

    assert ours.find("anna") is None
    assert ours.by_id(anna.id) is None
    assert ours.by_id(bert.id) is not None
    assert ours.key_for("anna").id != anna.id
    assert theirs.destroy("nobody") is None


def test_nothing_of_a_destroyed_key_is_left_in_the_file(tmp_path: Path) -> None:
    """Its slot is zeros; the others are as they were."""
    keyring = Keyring.make(tmp_path)
    keyring.key_for("anna")
    keyring.key_for("bert")
    before = (tmp_path / SUBJECTS).read_bytes()

    keyring.destroy("anna")

    after = (tmp_path / SUBJECTS).read_bytes()
    assert after[64:128] == bytes(64)
    assert after[128:] == before[128:]


def test_a_torn_slot_is_overwritten(tmp_path: Path) -> None:
    """A crash within an append costs nothing."""
    Keyring.make(tmp_path).key_for("anna")
    with (tmp_path / SUBJECTS).open("ab") as file:
        file.write(b"x" * 30)

    keyring = Keyring.make(tmp_path)
    bert = keyring.key_for("bert")

    assert Keyring.make(tmp_path).key_for("bert").id == bert.id
    assert (tmp_path / SUBJECTS).stat().st_size == 64 * 3


def test_a_file_that_is_no_keyring_is_refused(tmp_path: Path) -> None:
    """It is neither overwritten nor believed."""
    (tmp_path / SUBJECTS).write_bytes(b"x" * 64)

    with pytest.raises(AuditCorrupt, match="not a keyring"):
        Keyring.make(tmp_path)


def test_no_key_no_personal_field(tmp_path: Path) -> None:
    """On a disk that takes no key the record is made all the same, and leaves the person out."""
    keyring = Keyring.make(tmp_path)
    keyring._disk = Stubborn()

    made = record(pen(keyring).from_exchange(exchange(end_user="anna", session_id="s-1")))

    assert "anna" not in str(made)
    assert (made["session_id"], made["ip_address"]) == (None, None)
    assert made["details"]["end_user_left_out"] == "no key could be made: No space left on device"


def test_what_identifies_a_person_is_sealed_and_opens_again(tmp_path: Path) -> None:
    """Name, address, session, words and their fingerprints; the rest of the record stays readable."""
    keyring = Keyring.make(tmp_path)
    told = exchange(
        end_user="anna", session_id="s-1", prompt_policy="full", prompt=b'[{"role":"user","content":"hello"}]'
    )

    sealed = record(pen(keyring).from_exchange(told))
    opened = unseal(sealed, keyring)

    assert list(sealed)[-1] == "sealed"
    for word in ("anna", "s-1", "192.0.2.7", "hello", "an answer"):
        assert word not in str(sealed)
    assert "prompt_hmac" not in sealed["details"]
    assert sealed["details"]["tokens_output"] == 40
    assert (opened["session_id"], opened["ip_address"]) == ("s-1", "192.0.2.7")
    assert opened["details"] == record(pen(None).from_exchange(told))["details"]
    assert "sealed" not in opened


def test_a_sealed_field_opens_for_its_own_record_alone(tmp_path: Path) -> None:
    """Copied into another record it stays as it is."""
    keyring = Keyring.make(tmp_path)
    one, other = (record(pen(keyring).event("a", "/", subject="anna", details={"n": n})) for n in (1, 2))
    other["sealed"] = one["sealed"]

    assert unseal(one, keyring)["details"] == {"n": 1}
    assert unseal(other, keyring) is other


def test_words_too_long_to_be_sealed_whole_are_cut(tmp_path: Path) -> None:
    """Twelve thousand characters of three bytes each, twice, and still one line of at most 64 KiB."""
    keyring, text = Keyring.make(tmp_path), "\u20ac" * 12_000
    asked = msgspec.json.encode([{"role": "user", "content": text}])
    told = exchange(end_user="anna", prompt_policy="full", prompt=asked, answer=asked)

    draft = pen(keyring).from_exchange(told)
    opened = unseal(record(draft), keyring)

    assert len(draft.head) + len(draft.tail) + 21 <= MAX_LINE_BYTES
    assert opened["details"]["end_user"] == "anna"  # type: ignore[index]  # a JSON object
    assert opened["details"]["_truncated"] is True  # type: ignore[index]  # the same


@settings(max_examples=60, deadline=None)
@given(
    subject=st.text(st.characters(), min_size=1, max_size=300),
    details=st.dictionaries(st.text(max_size=20), st.text(st.characters(), max_size=30_000), max_size=4),
)
def test_any_subject_and_any_details_give_a_valid_bounded_line(
    tmp_path_factory: pytest.TempPathFactory, subject: str, details: dict[str, str]
) -> None:
    """Surrogates, long names, long texts: what is sealed opens again."""
    keyring = Keyring.make(tmp_path_factory.getbasetemp() / "any")

    draft = pen(keyring).event("a", "/", details=details, user_id=subject, subject=subject)
    opened = unseal(record(draft), keyring)

    assert len(draft.head) + len(draft.tail) + 21 <= MAX_LINE_BYTES
    assert "sealed" not in opened
    assert not str(opened["user_id"]).startswith("subject:") or subject.startswith("subject:")
