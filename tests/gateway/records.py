"""The audit log as it lies on disk, read without the gateway's own code."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

TERMINAL = frozenset({"llm_call", "request"})


@dataclass(frozen=True)
class Record:
    """One line of the log, and the line itself."""

    line: bytes
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a JSON value
        return self.fields[name]

    @property
    def action(self) -> str:
        """What was recorded."""
        return str(self.fields["action"])

    @property
    def details(self) -> dict[str, Any]:
        """The record's details; {} where it has none."""
        return self.fields.get("details") or {}

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The calls of upstreams that this request made."""
        return self.details.get("attempts") or []

    @property
    def statuses(self) -> list[str]:
        """How each attempt came out, in order."""
        return [attempt["status"] for attempt in self.attempts]

    @property
    def terminal(self) -> bool:
        """It is the one record with which a request ends."""
        return self.action in TERMINAL and not str(self.fields.get("worker", "")).startswith("library")


def read_records(directory: Path) -> list[Record]:
    """Every record of an audit directory by sequence number; a torn last line is left out."""
    records = []
    for segment in sorted((directory / "segments").glob("*.jsonl*")):
        if segment.suffix not in {".jsonl", ".zst"}:
            continue  # one that is being written
        content = segment.read_bytes()
        if segment.suffix == ".zst":
            content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
        lines = content.split(b"\n")
        records += [Record(line, json.loads(line)) for line in lines[:-1]]
    return sorted(records, key=lambda record: int(record["seq"]))


def attempts_by_status(records: list[Record]) -> Counter[tuple[str, ...]]:
    """Attempts per (model, provider, status), over terminal records."""
    return Counter(
        (attempt["model"], attempt["provider"], attempt["status"])
        for record in records
        if record.terminal
        for attempt in record.attempts
    )


def tokens_by_type(records: list[Record]) -> Counter[tuple[str, ...]]:
    """Tokens per (model, provider, type) of every attempt, over terminal records; zeros left out."""
    sums: Counter[tuple[str, ...]] = Counter()
    for record in records:
        for attempt in record.attempts if record.terminal else ():
            for kind in ("input", "output"):
                sums[(attempt["model"], attempt["provider"], kind)] += attempt.get(f"tokens_{kind}", 0)
    return +sums


def cost_by_model(records: list[Record]) -> Counter[tuple[str, ...]]:
    """Thousand-millionths of a dollar per (model, provider), over terminal records; zeros left out."""
    sums: Counter[tuple[str, ...]] = Counter()
    for record in records:
        for attempt in record.attempts if record.terminal else ():
            sums[(attempt["model"], attempt["provider"])] += round(attempt.get("cost_usd", 0) * 1e9)
    return +sums


def records_lost(records: list[Record]) -> int:
    """How many terminal records the log says are missing from it; a gap counts events besides."""
    return sum(int(record.details["requests"]) for record in records if record.action == "audit_gap")
