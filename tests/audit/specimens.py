"""Records, logs on disk and hostile values for the tests of the audit log's record half."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from tristar.audit.draft import Draft
from tristar.audit.record import Origin, Scribe
from tristar.audit.segments import Manifest
from tristar.clock import ManualClock
from tristar.exchange import Attempt, Exchange, Outcome

ORIGIN = Origin(host="host-1", worker="0", version="1.2.3")
KEY = b"k" * 32
FIELDS = [
    "timestamp",
    "trace_id",
    "action",
    "resource",
    "log_level",
    "seq",
    "event_id",
    "outcome",
    "user_id",
    "session_id",
    "ip_address",
    "duration_ms",
    "status",
    "details",
    "service",
    "version",
    "host",
    "worker",
]


def scribe(clock: ManualClock | None = None) -> Scribe:
    """A scribe with a fixed origin and key."""
    return Scribe(ORIGIN, clock=clock or ManualClock(), fingerprint_key=KEY)


def line(draft: Draft, seq: int = 0) -> bytes:
    """The draft as the writer puts it on disk, newline included."""
    return draft.head + str(seq).encode() + draft.tail + b"\n"


def record(draft: Draft, seq: int = 0) -> dict[str, Any]:
    """The draft as a reader sees it; fails on NaN and other words that are no JSON."""
    written = line(draft, seq)
    assert written.count(b"\n") == 1
    decoded: dict[str, Any] = json.loads(written, parse_constant=_no_constant)
    return decoded


def _no_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def exchange(*, status: int = 200, outcome: Outcome = "success", **changes: object) -> Exchange:
    """A closed exchange: one llm call that succeeded after 900 ms."""
    told = Exchange(
        method="POST",
        resource="/v1/chat/completions",
        endpoint="/v1/chat/completions",
        started=1.0,
        started_at=1_750_000_000.123456,
        audited=True,
        ip_address="192.0.2.7",
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
    told.action, told.llm_id, told.model_asked, told.actor = "llm_call", "fast", "fast", "key_1"
    told.finish_reason, told.prompt, told.answer = "stop", b"what is it?", b"an answer"
    told.attempts.append(attempt())
    for name, value in changes.items():
        setattr(told, name, value)
    told.close(status, outcome, 1.9)
    return told


def attempt(**changes: object) -> Attempt:
    """An attempt that gave 40 tokens for 12, the first of them after 200 ms."""
    usual = Attempt(
        llm_id="fast",
        provider="openai",
        model="gpt-4o-mini",
        started_s=0.001,
        status="success",
        duration_s=0.8,
        first_token_s=0.2,
        http_status=200,
        tokens_input=12,
        tokens_output=40,
        tokens_source="provider",
        finish_reason="stop",
        model_answered="gpt-4o-mini-2024-07-18",
    )
    return msgspec.structs.replace(usual, **changes)


def lines(
    count: int, *, first_seq: int = 0, clock: ManualClock | None = None, step_s: float = 1.0
) -> list[bytes]:
    """Consecutive lines of a log, `step_s` apart, every tenth by another user and a WARNING."""
    clock = clock or ManualClock()
    pen, written = scribe(clock), []
    for seq in range(first_seq, first_seq + count):
        other = seq % 10 == 0
        draft = pen.event(
            "order_placed" if other else "order_seen",
            f"/orders/{seq}",
            "WARNING" if other else "INFO",
            {"n": seq},
            user_id="anna" if other else "bert",
            trace_id=f"trace-{seq}",
        )
        written.append(line(draft, seq))
        clock.advance(step_s)
    return written


def write_log(directory: Path, *segments: Sequence[bytes], torn: bytes = b"") -> None:
    """Lay the lines out as a log: all segments closed but the last, whose end may be torn."""
    folder = directory / "segments"
    folder.mkdir(parents=True)
    first_seq = 0
    for number, content in enumerate(segments):
        path = folder / f"{first_seq:020d}.jsonl"
        if number == len(segments) - 1:
            path.write_bytes(b"".join(content) + torn)
        else:
            compress(path, content)
        first_seq += len(content)


def describe(directory: Path, first_seq: int) -> None:
    """Write the manifest of a closed segment that `write_log` has laid out."""
    packed = directory / "segments" / f"{first_seq:020d}.jsonl.zst"
    plain = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
    manifest = Manifest(
        first=first_seq,
        records=plain.count(b"\n"),
        plain_bytes=len(plain),
        sha256=hashlib.sha256(plain).hexdigest(),
        packed_bytes=packed.stat().st_size,
        packed_sha256=hashlib.sha256(packed.read_bytes()).hexdigest(),
        oldest="",
        newest="",
        root="",
        frontier="",
    )
    path = directory / "manifests" / f"{first_seq:020d}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(manifest.encode())


def compress(path: Path, content: Iterable[bytes]) -> None:
    """Write a closed segment in place of the active one of that path."""
    path.with_name(path.name + ".zst").write_bytes(zstandard.ZstdCompressor().compress(b"".join(content)))
    path.unlink(missing_ok=True)
