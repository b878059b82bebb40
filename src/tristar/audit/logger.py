"""The audit log as a program uses it that imports the library: log, ask, export."""

import asyncio
import atexit
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tristar import __version__
from tristar.audit import export as exporting
from tristar.audit import reader
from tristar.audit.access import AuditAccess
from tristar.audit.draft import Draft
from tristar.audit.export import Moment
from tristar.audit.options import WriterOptions
from tristar.audit.question import Question, Record
from tristar.audit.record import LIBRARY_WORKER, Origin, Scribe
from tristar.audit.signing import Signer
from tristar.audit.subjects import Keyring
from tristar.clock import Clock, SystemClock
from tristar.errors import AuditUnavailable

_STRICT_TIMEOUT_S = 5.0
_RELAXED_TIMEOUT_S = 0.25


@dataclass(frozen=True, slots=True)
class Place:
    """Where a log is and how it is kept. `mode` as in AUDIT_MODE."""

    directory: Path
    data_dir: Path
    options: WriterOptions = field(default_factory=WriterOptions)
    mode: Literal["strict", "relaxed"] = "strict"
    erasable: bool = False
    """As AUDIT_ERASABLE: what a record says of its `user_id` can be erased, that id included."""


@dataclass(slots=True)
class _Open:
    """What exists from the first use on."""

    place: Place
    scribe: Scribe
    access: AuditAccess
    pid: int = field(default_factory=os.getpid)
    logged: int = 0
    lost: int = 0
    lost_unreported: int = 0


class EnhancedAuditLogger:
    """Writes to the one audit log of this installation, beside the gateway or alone.

    Making one reads and creates nothing: `place` is asked at the first use, the directory is made with the
    first record. May be used from any event loop and any thread, also from several at once.

    With AUDIT_MODE=strict a record that cannot be made durable raises `AuditUnavailable`; with `relaxed` it
    is counted, and the next record that can be written is preceded by an `audit_gap` that says how many
    were lost. Reading through this class is not itself recorded: who can call it can read the files.
    """

    def __init__(
        self,
        place: Callable[[], Place],
        *,
        clock: Clock | None = None,
        open_access: Callable[..., AuditAccess] = AuditAccess,
    ) -> None:
        self._place = place
        self._open_access = open_access
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._open: _Open | None = None

    async def log(
        self,
        level: str,
        action: str,
        resource: str,
        details: object = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        trace_id: str | None = None,
        ip_address: str | None = None,
        duration_ms: float | None = None,
    ) -> str:
        """Record one action; durable once this returns. Returns the record's `event_id`.

        `level` is DEBUG, INFO, WARNING, ERROR, CRITICAL or SECURITY. Ids are kept as given; without a
        `trace_id` the record gets one of its own. Whatever `details` holds, the record is valid JSON of at
        most 64 KiB, with secrets replaced; what had to be cut is marked.

        Raises:
            ValueError: there is no such level; nothing was recorded.
            AuditUnavailable: the record is not durable (AUDIT_MODE=strict).
            SettingsInvalid: AUDIT_LOG_DIR or its like is not valid.
        """
        opened = self._opened()
        if opened.scribe.awaits(user_id):
            await _prepare(opened.scribe, str(user_id))
        draft = opened.scribe.event(
            action,
            resource,
            level,
            details,
            user_id=user_id,
            session_id=session_id,
            trace_id=trace_id,
            ip_address=ip_address,
            duration_ms=duration_ms,
            subject=user_id,
        )
        await _append(opened, draft)
        return draft.event_id

    async def log_security(
        self,
        action: str,
        resource: str,
        details: object = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        trace_id: str | None = None,
        ip_address: str | None = None,
        duration_ms: float | None = None,
    ) -> str:
        """Record one action at level SECURITY; otherwise as `log`."""
        return await self.log(
            "SECURITY",
            action,
            resource,
            details,
            user_id=user_id,
            session_id=session_id,
            trace_id=trace_id,
            ip_address=ip_address,
            duration_ms=duration_ms,
        )

    async def query(
        self,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        level: str | None = None,
        action: str | None = None,
        user_id: str | None = None,
        trace_id: str | None = None,
        resource: str | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> list[Record]:
        """The records that match every filter given; times inclusive, naive ones local.

        Raises:
            ValueError: a level, a time or the limit (1 to 100,000) is none.
        """
        question = Question(since, until, level, action, user_id, trace_id, resource, limit, newest_first)
        return await asyncio.to_thread(_answer, self._located().directory, question)

    async def export_for_siem(
        self,
        output_path: str | os.PathLike[str],
        compress: bool | str = True,
        since: Moment | None = None,
        *,
        until: Moment | None = None,
        format: str = "jsonl",  # noqa: A002 - the name that callers read
    ) -> str:
        """Write the records from `since` to `until`, both inclusive, and return the path really written.

        `compress` is True (gzip), False, "gzip", "zstd" or "none", and the path ends accordingly:
        `x.jsonl` becomes `x.jsonl.gz`, and `x.jsonl.gz` stays. A naive `since` is local time. Parent
        directories are made; `<path>.manifest.json` beside it says what the file holds.

        Raises:
            ExportRefused: the path is a link, a directory, or within the log.
            ValueError: there is no such format or compression, or a time is none.
            OSError: the disk refused; nothing was left behind.
        """
        exported = await asyncio.to_thread(
            exporting.export,
            self._located().directory,
            Path(output_path),
            clock=self._clock,
            form=format,
            compress=compress,
            since=since,
            until=until,
        )
        return str(exported.path)

    async def get_stats(self) -> dict[str, object]:
        """What the log holds and what this logger did.

        `records`, `segments`, `bytes`, `first_seq`, `last_seq`, `oldest`, `newest` (None while empty) of the
        log on disk; `logged` and `lost` by this logger; `directory`, `mode`.
        """
        place = self._located()
        stats = await asyncio.to_thread(_on_disk, place.directory)
        opened = self._open
        logged, lost = (opened.logged, opened.lost) if opened else (0, 0)
        return {
            **stats,
            "logged": logged,
            "lost": lost,
            "directory": str(place.directory),
            "mode": place.mode,
        }

    async def aclose(self) -> None:
        """Finish what was accepted and release the log; the next record opens it again."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            await opened.access.aclose()

    def close(self) -> None:
        """As `aclose`, for callers without an event loop; also done when the program ends."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            opened.access.close()

    def _located(self) -> Place:
        opened = self._open
        return opened.place if opened else self._place()

    def _opened(self) -> _Open:
        with self._lock:
            opened = self._open
            if opened is None:
                self._open = opened = self._begin(self._place())
                atexit.unregister(self.close)
                atexit.register(self.close)
            elif opened.pid != os.getpid():  # a forked child goes on under a name of its own
                self._open = opened = _Open(opened.place, self._scribe(opened.place), opened.access)
            return opened

    def _scribe(self, place: Place) -> Scribe:
        origin = Origin(platform.node(), f"{LIBRARY_WORKER}-{os.getpid()}", __version__)
        keyring = Keyring.make(place.directory) if place.erasable else None
        return Scribe(origin, clock=self._clock, fingerprint_key=os.urandom(32), keyring=keyring)

    def _begin(self, place: Place) -> _Open:
        scribe = self._scribe(place)
        access = self._open_access(
            place.directory,
            options=place.options,
            signer=lambda: Signer.load_or_create(place.data_dir),
            clock=self._clock,
            internal=scribe.internal,
            timeout_s=_STRICT_TIMEOUT_S if place.mode == "strict" else _RELAXED_TIMEOUT_S,
        )
        return _Open(place, scribe, access)


async def _prepare(scribe: Scribe, subject: str) -> None:
    try:
        await asyncio.to_thread(scribe.prepare, subject)
    except OSError as error:
        raise AuditUnavailable(f"no key could be made for the user: {error.strerror}") from error


async def _append(opened: _Open, draft: Draft) -> None:
    if opened.place.mode == "strict":
        await opened.access.append(draft)
        opened.logged += 1
        return
    try:
        if opened.lost_unreported:
            await _report_gap(opened)
        await opened.access.append(draft)
    except AuditUnavailable:
        opened.lost += 1
        opened.lost_unreported += 1
    else:
        opened.logged += 1


async def _report_gap(opened: _Open) -> None:
    lost = opened.lost_unreported
    opened.lost_unreported = 0
    try:
        await opened.access.append(opened.scribe.internal("audit_gap", "audit/log", {"count": lost}))
    except AuditUnavailable:
        opened.lost_unreported += lost
        raise


def _answer(directory: Path, question: Question) -> list[Record]:
    from tristar.audit.query import query  # noqa: PLC0415 - loads DuckDB: for programs that ask, no others

    return query(directory, question)


def _on_disk(directory: Path) -> dict[str, object]:
    segments = reader.Snapshot.take(directory).segments
    snapshot = reader.Snapshot(segments)
    newest = [reader.position(line) for line in snapshot.last(1)]
    oldest = [reader.position(line) for line in _first_line(segments)]
    first_seq, last_seq = (oldest[0].seq, newest[0].seq) if oldest and newest else (None, None)
    return {
        "records": last_seq - first_seq + 1 if first_seq is not None and last_seq is not None else 0,
        "segments": len(segments),
        "bytes": sum(segment.size_bytes() for segment in segments),
        "first_seq": first_seq,
        "last_seq": last_seq,
        "oldest": oldest[0].timestamp if oldest else None,
        "newest": newest[0].timestamp if newest else None,
    }


def _first_line(segments: tuple[reader.Segment, ...]) -> list[bytes]:
    for segment in segments:
        for line in reader.matching(segment):
            return [line]
    return []
