"""A key of its own for each person that records speak of, so that destroying it forgets the person.

The keyring is one file beside the log, `subjects.keys`: a header of 64 bytes (magic, a count of
destructions, a salt), then a slot of 64 bytes for each subject: HMAC-SHA256(salt, subject) cut to 16 bytes, a
random id of 8, a key of 32, a CRC-32 of these in 4, zeros. A destroyed slot is all zeros. Many processes
share the file: they append and destroy under its lock, and notice a destruction by the count.
"""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import mmap
import os
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tristar.audit.disk import Disk
from tristar.errors import AuditCorrupt

SUBJECTS = "subjects.keys"
SEALED = "sealed"
"""The last field of a record whose personal fields are encrypted."""

SEALED_MARK = b',"sealed":"v1.'
_VERSION = "v1"
_MAGIC = b"TRISTAR-SUBJECTS"
_UNIT_BYTES = 64
_COUNT = struct.Struct("<Q")
_COUNT_AT = len(_MAGIC)
_SALT = slice(24, 56)
_SLOT = struct.Struct("<16s8s32sI4x")
_NONCE_BYTES = 12


class SubjectKey(NamedTuple):
    """The key of one subject; `id` (16 hex digits) names it in records and says nothing of the subject."""

    id: str
    cipher: AESGCM

    @property
    def needle(self) -> bytes:
        """What every line contains of which fields are sealed with it."""
        return SEALED_MARK + f"{self.id}.".encode()


class Keyring:
    """The subjects' keys of one log. Thread-safe; any number of processes may have it open."""

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        """Use `open` or `make`."""
        self._disk = disk or Disk()
        self._descriptor = self._disk.open(path)
        self._lock = threading.RLock()
        self._header = mmap.mmap(self._descriptor, _UNIT_BYTES, access=mmap.ACCESS_READ)
        if self._header[: len(_MAGIC)] != _MAGIC:
            raise AuditCorrupt(f"{path}: not a keyring: restore it, or move it away to begin a new one")
        self._salt = self._header[_SALT]
        self._by_tag: dict[bytes, SubjectKey] = {}
        self._by_id: dict[str, SubjectKey] = {}
        self._slots = 0
        self._seen = -1
        self._tags: dict[str, bytes] = {}

    @classmethod
    def open(cls, directory: Path) -> "Keyring | None":
        """The keyring of this log; None where it has none. Raises OSError, AuditCorrupt."""
        path = directory / SUBJECTS
        return cls(path) if path.exists() else None

    @classmethod
    def make(cls, directory: Path, disk: Disk | None = None) -> "Keyring":
        """As `open`, and an empty one is made first where there is none. Raises OSError, AuditCorrupt."""
        path, device = directory / SUBJECTS, disk or Disk()
        if not path.exists():
            device.make_directory(directory)
            header = (_MAGIC + bytes(8) + secrets.token_bytes(32)).ljust(_UNIT_BYTES, b"\0")
            fresh = path.with_name(f".{SUBJECTS}.{secrets.token_hex(4)}")
            device.install(fresh, header)
            with contextlib.suppress(FileExistsError):  # another process made it in the same moment
                path.hardlink_to(fresh)
            device.unlink(fresh)
            device.sync_directory(directory)
        return cls(path, device)

    def known(self, subject: str) -> bool:
        """Whether `key_for` will answer from memory."""
        with self._lock:
            return self._current() and self._tag(subject) in self._by_tag

    def key_for(self, subject: str) -> SubjectKey:
        """The subject's key; a new one is durable once this returns. Raises OSError: there is none."""
        with self._lock:
            self._refresh()
            tag = self._tag(subject)
            found = self._by_tag.get(tag)
            if found is not None:
                return found
            with self._locked():
                self._read_slots()
                return self._by_tag.get(tag) or self._append(tag)

    def find(self, subject: str) -> SubjectKey | None:
        """The subject's key, if there is one."""
        with self._lock:
            self._refresh()
            self._read_slots()
            return self._by_tag.get(self._tag(subject))

    def by_id(self, key_id: str) -> SubjectKey | None:
        """The key that a record names; None once it is destroyed."""
        with self._lock:
            self._refresh()
            if key_id not in self._by_id:
                self._read_slots()
            return self._by_id.get(key_id)

    def destroy(self, subject: str) -> str | None:
        """Overwrite the subject's key, durably; its id, or None where there was none.

        Every process that has the keyring open forgets it with its next look.
        """
        with self._lock, self._locked():
            tag, destroyed = self._tag(subject), None
            for at, slot in self._raw_slots(0):
                if slot[:16] == tag:
                    destroyed = slot[16:24].hex()
                    self._disk.write_whole(self._descriptor, bytes(_UNIT_BYTES), at)
            if destroyed is not None:
                (count,) = _COUNT.unpack(os.pread(self._descriptor, _COUNT.size, _COUNT_AT))
                self._disk.write_whole(self._descriptor, _COUNT.pack(count + 1), _COUNT_AT)
                self._disk.fsync(self._descriptor)
            self._tags.pop(subject, None)
            self._refresh()
            return destroyed

    def close(self) -> None:
        """Release the file."""
        self._header.close()
        self._disk.close(self._descriptor)

    def _tag(self, subject: str) -> bytes:
        tag = self._tags.get(subject)
        if tag is None:
            if len(self._tags) >= 10_000:
                self._tags.clear()
            tag = hmac.digest(self._salt, subject.encode(errors="backslashreplace"), hashlib.sha256)[:16]
            self._tags[subject] = tag
        return tag

    def _current(self) -> bool:
        (count,) = _COUNT.unpack_from(self._header, _COUNT_AT)
        return bool(count == self._seen)

    def _refresh(self) -> None:
        """Forget what was destroyed since the last look."""
        if self._current():
            return
        (self._seen,) = _COUNT.unpack_from(self._header, _COUNT_AT)
        self._by_tag.clear()
        self._by_id.clear()
        self._slots = 0
        self._read_slots()

    def _read_slots(self) -> None:
        for _, slot in self._raw_slots(self._slots):
            self._slots += 1
            tag, key_id, key, crc = _SLOT.unpack(slot)
            if crc == zlib.crc32(slot[:56]) and any(key):
                self._take(tag, key_id.hex(), key)

    def _raw_slots(self, first: int) -> Iterator[tuple[int, bytes]]:
        """The whole slots from this one on, with their places."""
        at = (first + 1) * _UNIT_BYTES
        while chunk := os.pread(self._descriptor, 16_384 * _UNIT_BYTES, at):
            whole = len(chunk) // _UNIT_BYTES * _UNIT_BYTES
            for start in range(0, whole, _UNIT_BYTES):
                yield at + start, chunk[start : start + _UNIT_BYTES]
            if whole < len(chunk):
                return
            at += whole

    def _append(self, tag: bytes) -> SubjectKey:
        key_id, key = secrets.token_bytes(8), secrets.token_bytes(32)
        body = tag + key_id + key
        slot = _SLOT.pack(tag, key_id, key, zlib.crc32(body))
        self._disk.write_whole(self._descriptor, slot, (self._slots + 1) * _UNIT_BYTES)
        self._disk.fdatasync(self._descriptor)
        self._slots += 1
        return self._take(tag, key_id.hex(), key)

    def _take(self, tag: bytes, key_id: str, key: bytes) -> SubjectKey:
        self._by_tag[tag] = self._by_id[key_id] = made = SubjectKey(key_id, AESGCM(key))
        return made

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def keyring_of(directory: Path) -> Iterator[Keyring | None]:
    """The log's keyring for the length of the block; None where it has none. Raises OSError, AuditCorrupt."""
    keyring = Keyring.open(directory)
    try:
        yield keyring
    finally:
        if keyring is not None:
            keyring.close()


def seal(key: SubjectKey, event_id: str, fields: Mapping[str, object]) -> bytes:
    """The value of a record's `sealed` field: `v1.<key id>.<base64 of nonce, ciphertext and tag>`.

    AES-256-GCM over the fields as JSON, bound to the record by its `event_id`.
    """
    nonce = os.urandom(_NONCE_BYTES)
    data = nonce + key.cipher.encrypt(nonce, msgspec.json.encode(fields), event_id.encode())
    return b".".join((_VERSION.encode(), key.id.encode(), base64.b64encode(data)))


def unseal(record: dict[str, object], keyring: Keyring | None) -> dict[str, object]:
    """The record with its sealed fields in their places; as it is where it has none or their key is gone."""
    sealed = record.get(SEALED)
    if not isinstance(sealed, str) or keyring is None:
        return record
    version, _, rest = sealed.partition(".")
    key_id, _, encoded = rest.partition(".")
    key = keyring.by_id(key_id) if version == _VERSION else None
    if key is None:
        return record
    try:
        data = base64.b64decode(encoded, validate=True)
        plain = key.cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], str(record["event_id"]).encode())
        fields = msgspec.json.decode(plain, type=dict[str, object])
    except (ValueError, InvalidTag, KeyError, msgspec.DecodeError):
        return record  # not sealed by us for this record: shown as it stands
    return _joined(record, fields)


def _joined(record: Mapping[str, object], fields: dict[str, object]) -> dict[str, object]:
    opened = {name: value for name, value in record.items() if name != SEALED}
    inner = fields.pop("details", None)
    details = opened.get("details")
    if isinstance(inner, dict) and isinstance(details, dict):
        opened["details"] = details | inner
    return opened | fields


def unseal_lines(chunk: bytes, keyring: Keyring | None) -> bytes:
    """Whole lines with every sealed field opened whose key is there; other lines keep their bytes."""
    if keyring is None or SEALED_MARK not in chunk:
        return chunk
    return b"".join(
        _unsealed(line, keyring) if SEALED_MARK in line else line for line in chunk.splitlines(keepends=True)
    )


def _unsealed(line: bytes, keyring: Keyring) -> bytes:
    record = msgspec.json.decode(line, type=dict[str, object])
    opened = unseal(record, keyring)
    return line if opened is record else msgspec.json.encode(opened) + b"\n"
