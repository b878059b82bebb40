"""A second verifier of the audit log, made from docs/audit-format.md alone; it shares no code with the first.

usage: second_verifier.py AUDIT_LOG_DIR PUBLIC_KEY_FILE [CHECKPOINT_FILE]; exit 1, and why, if it is wrong.
"""

# fmt: off
import base64, hashlib, json, sys  # noqa: E401, I001 - the same
from pathlib import Path
from typing import Any

import zstandard
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Peaks = list[tuple[int, bytes]]
WRONG = (ValueError, OSError, KeyError, InvalidSignature, zstandard.ZstdError)

def _sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
def _need(holds: object, what: str) -> None:
    if not holds:
        raise ValueError(what)
def _public(key: str) -> Ed25519PublicKey:
    name, key_id, encoded = key.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    _need(raw[:1] == b"\x01" and _sha(name.encode(), b"\n", raw)[:4].hex() == key_id, "key")
    return Ed25519PublicKey.from_public_bytes(raw[1:])
def _opened(note: bytes, keys: list[str]) -> list[str]:
    body, _, tail = note.rpartition(b"\n\n")
    for line in tail.decode().removesuffix("\n").split("\n"):
        mark, name, encoded = line.split(" ")
        raw = base64.b64decode(encoded, validate=True)
        _need(mark == "\u2014" and base64.b64encode(raw).decode() == encoded and tail.endswith(b"\n"), "note")
        for key in (key for key in keys if key.split("+", 2)[:2] == [name, raw[:4].hex()]):
            _public(key).verify(raw[4:], body + b"\n")
            _need(name in body.decode().split("\n")[:2], "origin")
            return body.decode().split("\n")
    raise ValueError("no signature by a trusted key")
def _trusted(folder: Path, first: str) -> list[str]:
    keys, pending = [first], [json.loads(path.read_bytes()) for path in (folder / "keys").glob("*.json")]
    while found := [each for each in pending if each["predecessor"] in keys]:
        for each in found:
            said = f"tristar-audit-key-rotation/v1\n{each['predecessor']}\n{each['successor']}\n".encode()
            _public(each["predecessor"]).verify(base64.b64decode(each["signature"]), said)
            keys.append(pending.pop(pending.index(each))["successor"])
    return keys
def _peaks(size: int, packed: bytes) -> Peaks:
    levels = [level for level in range(size.bit_length()) if size >> level & 1]
    return [(level, packed[32 * at : 32 * at + 32]) for at, level in enumerate(levels)][::-1]
def _grow(peaks: Peaks, leaf: bytes) -> None:
    level = 0
    while peaks and peaks[-1][0] == level:
        leaf, level = _sha(b"\x01", peaks.pop()[1], leaf), level + 1
    peaks.append((level, leaf))
def _root(peaks: Peaks) -> bytes:
    root = peaks[-1][1] if peaks else _sha()
    for _, peak in peaks[-2::-1]:
        root = _sha(b"\x01", peak, root)
    return root
def _slots(raw: bytes, keys: list[str]) -> tuple[int, bytes, bool]:
    found = []
    for at in (0, 1):
        block, note = raw[4096 * at :][:4096], raw[4096 * at :][:512].rstrip(b"\0")
        _, size, root, mark = _opened(note, keys)
        packed = block[512 : 512 + 32 * int(size).bit_count()]
        _need(note.ljust(512, b"\0") + packed.ljust(3584, b"\0") == block, "slot: bytes beside the text")
        number, right = int(mark.split(" ")[1]), _root(_peaks(int(size), packed)) == base64.b64decode(root)
        _need(right and number % 2 == at, "slot: frontier or place")
        found.append((number, int(size), base64.b64decode(root), mark.endswith(" closed")))
    older, newer = sorted(found)
    _need(len(raw) == 8192 and newer[0] == older[0] + 1 and older[1] <= newer[1], "slots: no pair")
    return newer[1:]
def _segments(folder: Path, size: int) -> tuple[dict[int, bytes], set[int]]:
    entries, beyond, end = dict[int, bytes](), set[int](), 0
    paths = {path.name[:20]: path for path in sorted((folder / "segments").glob("*.jsonl*"), reverse=True)}
    for name, path in sorted(paths.items()):
        raw = path.read_bytes()
        if path.suffix == ".zst":
            told = json.loads((folder / f"manifests/{name}.json").read_bytes())
            _need(hashlib.sha256(raw).hexdigest() == told["packed_sha256"], f"{path.name}: not as packed")
            raw = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
        _need(int(name) >= end, f"{path.name}: overlaps the one before")
        *lines, rest = raw.split(b"\n")
        end = int(name) + len(lines)
        entries |= {seq: _sha(line) for seq, line in enumerate(lines, int(name)) if seq < size}
        beyond |= set(range(max(size, int(name)), end)) | ({end} if rest else set())
    return entries, beyond
def _tiles(folder: Path, level: object, index: int) -> list[Path]:
    groups = [f"x{index // 1000 ** at % 1000:03d}" for at in range((len(str(index)) - 1) // 3, 0, -1)]
    path = folder.joinpath("tile", str(level), *groups, f"{index % 1000:03d}")
    return [path] * path.exists() + list(path.with_name(f"{path.name}.p").glob("[0-9]*"))
def _stored(folder: Path, seq: int) -> bytes:
    known = [path.read_bytes()[seq % 256 * 32 :][:32] for path in _tiles(folder, 0, seq // 256)]
    return next((leaf for leaf in known if len(leaf) == 32), b"")
def _check_tiles(folder: Path, leaves: list[bytes], bound: int, *, closed: bool) -> None:
    seen, levels = set[Path](), {"0": leaves, "entries": leaves}
    while len(leaves) >= 256:
        tops: list[Peaks] = [[] for _ in range(len(leaves) // 256)]
        for at, node in enumerate(leaves[: len(tops) * 256]):
            _grow(tops[at // 256], node)
        levels[str(len(levels) - 1)] = leaves = [_root(top) for top in tops]
    for level, hashes in levels.items():
        for index in range(len(hashes) // 256 + 1):
            widths = set[int]()
            for path in _tiles(folder, level, index):
                raw, width = path.read_bytes(), int(path.name) if path.parent.suffix == ".p" else 256
                if level == "entries":
                    _need(all(raw[at : at + 2] == b"\0\x20" for at in range(0, len(raw), 34)), str(path))
                    raw = b"".join(_sha(b"\0", raw[at + 2 : at + 34]) for at in range(0, len(raw), 34))
                right = raw == b"".join(hashes[index * 256 :][:width]) and len(raw) == 32 * width
                _need(right or (not closed and index * 256 + width > len(hashes)), f"{path}: altered")
                seen, widths = seen | {path}, widths | {width}
            due = min(256, (bound >> (8 * int(level) if level != "entries" else 0)) - index * 256)
            _need(due <= 0 or widths & {due, 256}, f"tile {level}/{index}: missing")
    _need(not closed or seen >= {p for p in (folder / "tile").rglob("[!.]*") if p.is_file()}, "stray tile")
def verify(folder: Path, key: str, expect: bytes | None = None) -> None:
    """Raises one of WRONG for whatever is wrong."""
    keys, gaps = _trusted(folder, key.strip()), dict[str, Any]()
    size, root, closed = _slots((folder / "checkpoint.slots").read_bytes(), keys)
    if (folder / "manifests/gaps").exists():
        title, _, content = _opened((folder / "manifests/gaps").read_bytes(), keys)
        gaps = json.loads(content) if title == "tristar-audit-gaps/v1" else {}
    names = ("deleted", "accepted", "rewound")
    deleted, given_up, rewound = ({n for a, b in gaps.get(name, ()) for n in range(a, b)} for name in names)
    entries, beyond = _segments(folder, size)
    _need(not closed or beyond <= given_up, "bytes where no record is, or behind the end of a closed log")
    resets: list[dict[str, Any]] = [{"size": 0, "frontier": ""}, *gaps.get("resets", ())]
    base, roots, leaves = int(resets[-1]["size"]), dict[int, bytes](), list[bytes]()
    peaks = _peaks(base, base64.b64decode(resets[-1]["frontier"]))
    for seq in range(size):
        leaf = _sha(b"\0", entries[seq]) if seq in entries else _stored(folder, seq)
        leaf = leaf if seq in entries or seq in deleted else b""
        wrong = not leaf or (seq < base and leaf != _stored(folder, seq))
        _need(seq in given_up or not wrong, f"record {seq} is missing or altered")
        if seq >= base:
            roots[seq] = _root(peaks)
            _grow(peaks, leaf)
        leaves.append(leaf)
    _need(roots.setdefault(size, _root(peaks)) == root, "the lines do not lead to the signed root")
    published = (folder / "checkpoint").read_bytes() if closed or (folder / "checkpoint").exists() else None
    for note in (each for each in (published, expect) if each is not None):
        _, told, digest, *_ = _opened(note, keys)
        excused = int(told) - 1 in rewound or int(told) < base
        _need(excused or roots.get(int(told)) == base64.b64decode(digest), f"checkpoint {told}: another log")
    if base == 0:
        _check_tiles(folder, leaves, int(_opened(published, keys)[1]) if published else 0, closed=closed)
if __name__ == "__main__":
    log, key, *kept = map(Path, sys.argv[1:])
    verify(log, key.read_text(), *map(Path.read_bytes, kept))
