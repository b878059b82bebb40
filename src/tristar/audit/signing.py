"""The log's signing key, and the notes it signs.

A note is C2SP signed-note text: the body, a blank line, then one `— <name> <base64>` line per signature.
Keys are kept in the text form of Go's sumdb/note: `PRIVATE+KEY+<name>+<id>+<base64>` for the secret one and
`<name>+<id>+<base64>` for the public one.
"""

import base64
import binascii
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tristar.audit.disk import Disk
from tristar.errors import TriStarError

KEY_FILE = "audit-signing.key"
PUBLIC_FILE = "audit-signing.vkey"
_ED25519 = b"\x01"
_ROTATION = "tristar-audit-key-rotation/v1"


class KeyInvalid(TriStarError):
    """A key file or key text is not what it should be; nothing was signed or believed."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half: who may sign, by name and key."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key (C2SP signed-note)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """`<name>+<id>+<base64>`, what `parse` reads."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one key text. Raises KeyInvalid."""
        try:
            name, key_id, body = text.strip().split("+", 2)
            raw = base64.b64decode(body, validate=True)
        except (ValueError, binascii.Error) as error:
            raise KeyInvalid("not a verifier key: expected <name>+<id>+<base64>") from error
        key = cls(name, raw[1:])
        if raw[:1] != _ED25519 or len(raw) != 33 or key.key_id.hex() != key_id:
            raise KeyInvalid("not an Ed25519 verifier key, or its id does not match its name and key")
        return key

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file. Raises KeyInvalid, OSError."""
        return cls.parse(path.read_text(encoding="utf-8"))

    def accepts(self, body: bytes, signature: bytes) -> bool:
        """Whether this key made this signature over exactly this body."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Note:
    """A signed text: its body (ending in a newline) and the signatures as (name, key id, signature)."""

    body: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Split a note into body and signatures; verifies nothing. Raises ValueError."""
        body, separator, tail = raw.rpartition(b"\n\n")
        if not separator or not tail.endswith(b"\n"):
            raise ValueError("not a signed note")
        return cls(body + b"\n", tuple(_signature(line) for line in tail.decode().splitlines()))

    def signer(self, keys: Iterable[VerifierKey]) -> VerifierKey | None:
        """The first of the keys with a valid signature on this note, or None."""
        for key in keys:
            for name, key_id, signature in self.signatures:
                if name == key.name and key_id == key.key_id and key.accepts(self.body, signature):
                    return key
        return None


def _signature(line: str) -> tuple[str, bytes, bytes]:
    mark, name, encoded = line.split(" ")
    raw = base64.b64decode(encoded, validate=True)
    canonical = base64.b64encode(raw).decode() == encoded  # else a bit could be changed without a trace
    if mark != "\N{EM DASH}" or not name or len(raw) < 5 or not canonical:
        raise ValueError("not a signature line")
    return name, raw[:4], raw[4:]


@dataclass(frozen=True, slots=True)
class Rotation:
    """One key's statement that another succeeds it."""

    predecessor: VerifierKey
    successor: VerifierKey
    signature: bytes

    @property
    def statement(self) -> bytes:
        """What the predecessor signs."""
        return f"{_ROTATION}\n{self.predecessor.text}\n{self.successor.text}\n".encode()

    def details(self) -> dict[str, str]:
        """The statement as it stands in the log record and in `keys/`."""
        return {
            "predecessor": self.predecessor.text,
            "successor": self.successor.text,
            "signature": base64.b64encode(self.signature).decode(),
        }

    @classmethod
    def from_details(cls, details: object) -> Self:
        """Read a statement and check its signature. Raises KeyInvalid."""
        if not isinstance(details, dict):
            raise KeyInvalid("not a key rotation")
        try:
            old = VerifierKey.parse(str(details["predecessor"]))
            new = VerifierKey.parse(str(details["successor"]))
            rotation = cls(old, new, base64.b64decode(str(details["signature"]), validate=True))
        except (KeyError, binascii.Error) as error:
            raise KeyInvalid("not a key rotation") from error
        if old.name != new.name or not old.accepts(rotation.statement, rotation.signature):
            raise KeyInvalid("the key rotation is not signed by the predecessor")
        return rotation


def trusted_keys(start: Sequence[VerifierKey], rotations: Iterable[Rotation]) -> list[VerifierKey]:
    """The given keys and every key that follows from them through signed rotations."""
    trusted, pending = list(start), list(rotations)
    while found := [r for r in pending if r.predecessor in trusted and r.successor not in trusted]:
        trusted.extend(rotation.successor for rotation in found)
    return trusted


class Signer:
    """Signs notes with an Ed25519 key that never leaves its 0600 file; immutable, thread-safe."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        if not name or any(c in name for c in "+ \n\t"):
            raise KeyInvalid("a key name has no spaces and no plus sign")
        self._private = private
        self.verifier = VerifierKey(name, private.public_key().public_bytes_raw())
        self._prefix = f"\N{EM DASH} {name} ".encode()

    def __repr__(self) -> str:
        return f"Signer({self.verifier.text})"

    @property
    def name(self) -> str:
        """The log's origin: the first line of its checkpoints."""
        return self.verifier.name

    def sign(self, body: bytes) -> bytes:
        """The complete note for this body, which must end in a newline."""
        signature = base64.b64encode(self.verifier.key_id + self._private.sign(body))
        return b"".join((body, b"\n", self._prefix, signature, b"\n"))

    @classmethod
    def load_or_create(cls, data_dir: Path, *, name: str | None = None) -> Self:
        """Read the key of this data directory; make directory (0700) and key (0600) if there is none.

        The public key is written beside it as `audit-signing.vkey`. Raises KeyInvalid, OSError.
        """
        path = data_dir / KEY_FILE
        if not path.exists():
            Disk().make_directory(data_dir)
            fresh = cls(name or _fresh_name(), Ed25519PrivateKey.generate())
            _install(path, fresh.private_text(), replace=False)
        signer = cls.load(path)
        public = data_dir / PUBLIC_FILE
        if not public.exists() or public.read_text(encoding="utf-8").strip() != signer.verifier.text:
            _install(public, signer.verifier.text, replace=True)
        return signer

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a private key file. Raises KeyInvalid (also for a file others can read), OSError."""
        if path.stat().st_mode & 0o077:
            raise KeyInvalid(f"{path} can be read by others: chmod 600 it, rotate it if it may have leaked")
        parts = path.read_text(encoding="utf-8").strip().split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise KeyInvalid(f"{path} is not a signing key: restore it from the backup")
        try:
            raw = base64.b64decode(parts[4], validate=True)
        except binascii.Error as error:
            raise KeyInvalid(f"{path} is not a signing key: restore it from the backup") from error
        if len(raw) != 33 or raw[:1] != _ED25519:
            raise KeyInvalid(f"{path} is not an Ed25519 signing key")
        return cls(parts[2], Ed25519PrivateKey.from_private_bytes(raw[1:]))

    def private_text(self) -> str:
        """The secret key text, for the key file alone."""
        seed = base64.b64encode(_ED25519 + self._private.private_bytes_raw()).decode()
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{seed}"

    def successor(self) -> tuple["Signer", Rotation]:
        """A new key of the same name, and this key's signed statement that it follows."""
        following = Signer(self.name, Ed25519PrivateKey.generate())
        unsigned = Rotation(self.verifier, following.verifier, b"")
        return following, Rotation(self.verifier, following.verifier, self._private.sign(unsigned.statement))

    def install(self, data_dir: Path, *, keep_as: str) -> None:
        """Make this the data directory's key; the one it replaces is kept as `<key file>.<keep_as>`."""
        path = data_dir / KEY_FILE
        if path.exists():
            _install(path.with_name(f"{KEY_FILE}.{keep_as}"), path.read_text(encoding="utf-8"), replace=True)
        _install(path, self.private_text(), replace=True)
        _install(data_dir / PUBLIC_FILE, self.verifier.text, replace=True)


def _fresh_name() -> str:
    host = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname()) or "host"
    return f"tristar-audit/{host}/{secrets.token_hex(4)}"


def _install(path: Path, text: str, *, replace: bool) -> None:
    """Write a 0600 file whole or not at all, durably; without `replace` an existing file is left as it is."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _settle(temporary, path, replace=replace)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _settle(temporary: Path, path: Path, *, replace: bool) -> None:
    if replace:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return  # another process made the key in the same moment: theirs is the key


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


SignerSource = Callable[[], Signer]


def rotation_file(rotation: Rotation) -> bytes:
    """The statement as a file of `keys/`."""
    return json.dumps(rotation.details(), separators=(",", ":")).encode() + b"\n"
