"""One audit record: what it says, in which order, and how it becomes bytes.

A record is one line of JSON. It is encoded once, where it arises, into a `Draft`: everything before
and everything after the sequence number, which only the writer knows.
"""

import enum
import functools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar, get_args

import msgspec

from tristar.audit import plain
from tristar.audit.callstory import FIELD_CHARS, call_of, milliseconds
from tristar.audit.content import Fingerprint, words
from tristar.audit.draft import Draft
from tristar.audit.subjects import Keyring, SubjectKey, seal
from tristar.clock import Clock
from tristar.exchange import Exchange

SERVICE = "ailinux-backend"
"""The name under which SIEM rules know this system."""

MAX_LINE_BYTES = 65_536
"""No line is longer, whatever it is given; what had to go is marked in its `details`."""

LIBRARY_WORKER = "library"
"""`worker` of a record made by a program that imports the library begins so: kept out of the books."""

Action = Literal[
    "llm_call", "request", "auth_success", "auth_failure", "access_denied", "rate_limited", "budget_exceeded",
    "breaker_transition", "breaker_override", "key_created", "key_updated", "key_revoked", "config_reloaded",
    "config_rejected", "memory_written", "memory_read", "memory_deleted", "audit_read", "audit_exported",
    "audit_verified", "audit_segment_closed", "audit_retention", "audit_gap", "audit_erasure", "audit_hold",
    "audit_recovered", "service_started", "service_stopped", "dependency_transition",
]  # fmt: skip
"""What the gateway itself records: a closed list. Library callers may name others."""

ACTIONS: frozenset[str] = frozenset(get_args(Action))
TERMINAL_ACTIONS: frozenset[str] = frozenset({"llm_call", "request"})
"""A request under /v1, /mcp or /admin ends in exactly one record of these."""


class Level(enum.StrEnum):
    """How much a record asks of its reader."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"
    SECURITY = "SECURITY"


def level(name: str) -> Level:
    """The level of that name, upper or lower case.

    Raises:
        ValueError: there is no such level; the message lists those there are.
    """
    try:
        return Level(name.upper())
    except (ValueError, AttributeError):
        raise ValueError(f"unknown audit level {name!r:.64}: use one of {', '.join(Level)}") from None


class Origin(msgspec.Struct, frozen=True):
    """Who writes: the last four fields of every record. `worker` is unique on its host."""

    host: str
    worker: str
    version: str
    service: str = SERVICE


_INTERNAL_LEVELS = {"audit_gap": Level.ERROR, "audit_recovered": Level.WARNING}
_RESOURCE_CHARS = 1024
_ACTION_CHARS = 128
_DETAILS_CHARS = 40_000
_SMALLER_DETAILS_CHARS = (10_000, 2_500)
_SEALED_BYTES = 44_000  # in base64, and with the rest of the line, still no longer than a line may be
_PERSONAL = ("prompt", "answer", "prompt_hmac", "answer_hmac")
_OVERHEAD_BYTES = 64  # the sequence number and what joins the parts

_Part = TypeVar("_Part", bound=msgspec.Struct)

_encode = msgspec.json.Encoder().encode


class _Head(msgspec.Struct):
    timestamp: str
    trace_id: str
    action: str
    resource: str
    log_level: str


class _Tail(msgspec.Struct):
    event_id: str
    outcome: str | None
    user_id: str | None
    session_id: str | None
    ip_address: str | None
    duration_ms: float | None
    status: int | None
    details: object


class _End(msgspec.Struct):
    service: str
    version: str
    host: str
    worker: str


class Scribe:
    """Makes drafts: one per process, for everything that this origin records.

    `fingerprint_key` is this installation's own: fingerprints of prompts and answers are
    HMAC-SHA256 under it, so that equal texts can be told equal and no text can be guessed
    without the key. With a `keyring`, what identifies the person that a record is about is encrypted under
    that person's own key (see `subjects`). Safe to share between threads; touches no disk but for the keys
    of new subjects, which `prepare` makes beforehand.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        clock: Clock,
        fingerprint_key: bytes,
        keyring: Keyring | None = None,
    ) -> None:
        self._clock = clock
        self._keyring = keyring
        self._fingerprint = Fingerprint(fingerprint_key)
        self._suffix = (
            b"," + _encode(_mended(_End(origin.service, origin.version, origin.host, origin.worker)))[1:]
        )

    @property
    def keyring(self) -> Keyring | None:
        """The subjects' keys; None where nothing is encrypted."""
        return self._keyring

    def awaits(self, subject: str | None) -> bool:
        """Whether `prepare` has work to do before a record about this subject."""
        return subject is not None and self._keyring is not None and not self._keyring.known(subject)

    def prepare(self, subject: str) -> None:
        """Make the subject's key, durably, if there is none. Blocks. Raises OSError."""
        if self._keyring is not None:
            self._keyring.key_for(subject)

    def from_exchange(self, exchange: Exchange) -> Draft:
        """The one terminal record of a closed exchange, stamped with the time of its end.

        Of `prompt` and `answer` it keeps what the exchange's policy says: nothing, sizes and fingerprints,
        or also the words. Never raises for what a client or an upstream sent.
        """
        resource = exchange.resource
        head = _Head(
            timestamp(exchange.started_at + exchange.duration_s),
            exchange.trace_id,
            exchange.action,
            # one that is its own route's name came from us
            resource if resource == exchange.endpoint else plain.text(resource, _RESOURCE_CHARS),
            exchange.log_level,
        )
        session_id = exchange.session_id
        tail = _Tail(
            exchange.event_id,
            exchange.outcome,
            exchange.actor,
            None if session_id is None else _optional(session_id),
            exchange.ip_address,
            milliseconds(exchange.duration_s),
            exchange.status,
            self._story(exchange),
        )
        if exchange.end_user is None:
            return self._draft(head, tail)
        return self._about(exchange.end_user, head, tail)

    def event(
        self,
        action: Action | str,
        resource: str,
        log_level: str = "INFO",
        details: object = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        trace_id: str | None = None,
        ip_address: str | None = None,
        duration_ms: float | None = None,
        outcome: str | None = None,
        status: int | None = None,
        event_id: str | None = None,
        at: float | None = None,
        subject: str | None = None,
    ) -> Draft:
        """Any other record. `at` is seconds since the epoch (default: now); ids default to new ones.

        A caller's own ids are kept as they are, redacted and bounded. Whatever `details` is, the
        record is valid, of at most `MAX_LINE_BYTES`, and free of what looks like a secret. `subject` is the
        person whom the details are about, and who acted if `user_id` is the same.

        Raises:
            ValueError: `log_level` is not a level.
            OSError: the subject's key could not be made.
        """
        ids = os.urandom(32).hex()
        head = _Head(
            timestamp(self._clock.time() if at is None else at),
            _optional(trace_id) or ids[:32],
            plain.text(action, _ACTION_CHARS),
            plain.text(resource, _RESOURCE_CHARS),
            level(log_level),
        )
        tail = _Tail(
            _optional(event_id) or ids[32:],
            _optional(outcome),
            _optional(user_id),
            _optional(session_id),
            _optional(ip_address),
            _milliseconds(duration_ms),
            _whole(status),
            {} if details is None else plain.mapping(details, _DETAILS_CHARS),
        )
        if subject is None or self._keyring is None:
            return self._draft(head, tail)
        return self._draft(head, *_sealed(self._keyring.key_for(subject), tail, actor=subject == user_id))

    def internal(self, action: str, resource: str, details: Mapping[str, object]) -> Draft:
        """What the log's writer records about the log itself; its level follows from the action."""
        return self.event(action, resource, _INTERNAL_LEVELS.get(action, Level.INFO), details)

    def _about(self, subject: str, head: _Head, tail: _Tail) -> Draft:
        """The record of a request that names whom it is for."""
        details: dict[str, object] = dict(msgspec.to_builtins(tail.details))
        named: dict[str, object] = {"end_user": plain.text(subject, FIELD_CHARS)}
        if self._keyring is None:
            tail.details = details | named
            return self._draft(head, tail)
        named |= {name: details.pop(name) for name in _PERSONAL if name in details}
        sealed = _fields_of(tail, ("session_id", "ip_address")) | {"details": _sealable(named)}
        tail.session_id = tail.ip_address = None
        tail.details = details
        try:
            key = self._keyring.key_for(subject)
        except OSError as error:
            details["end_user_left_out"] = f"no key could be made: {error.strerror}"
            return self._draft(head, tail)
        return self._draft(head, tail, seal(key, tail.event_id, sealed))

    def _draft(self, head: _Head, tail: _Tail, sealed: bytes = b"") -> Draft:
        try:
            before, after = _encode(head), _encode(tail)
        except (UnicodeEncodeError, TypeError):
            before, after = _encode(_mended(head)), _encode(_mended(tail))
        suffix = self._suffix
        if sealed:
            suffix = b"".join((suffix[:-1], b',"sealed":"', sealed, b'"}'))
        room = MAX_LINE_BYTES - _OVERHEAD_BYTES - len(before) - len(suffix)
        if len(after) > room:
            after = _fitting(tail, room)
        return Draft(before[:-1] + b',"seq":', b"," + after[1:-1] + suffix, tail.event_id)

    def _story(self, exchange: Exchange) -> object:
        more: dict[str, object] = {}
        if (
            exchange.rejected_by is not None
            or exchange.auth_failure is not None
            or exchange.details is not None
        ):
            more = _circumstances(exchange)
        if exchange.action != "llm_call":
            return {"method": exchange.method} | more
        call = call_of(exchange, self._fingerprint)
        if exchange.prompt_policy != "metadata":
            more |= words(exchange)
        return msgspec.to_builtins(call) | more if more else call


def timestamp(at: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC with six decimals; such texts sort as times do."""
    second, micros = divmod(round(at * 1e6), 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@functools.lru_cache(maxsize=16)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _circumstances(exchange: Exchange) -> dict[str, object]:
    """What else the corridor has to say: who refused and why, and details of its own."""
    more: dict[str, object] = {}
    if exchange.rejected_by is not None:
        more["rejected_by"] = exchange.rejected_by
        more["rejected_scope"] = exchange.rejected_scope
    if exchange.auth_failure is not None:
        more["auth_failure"] = exchange.auth_failure
    if exchange.details is not None:
        more |= plain.mapping(exchange.details, _DETAILS_CHARS)
    return more


def _optional(value: str | None) -> str | None:
    return None if value is None else plain.text(value, FIELD_CHARS)


def _milliseconds(value: object) -> float | None:
    """A duration as given, or None for what is no finite number."""
    return float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and abs(value) < 1e15 else None


def _mended(part: _Part) -> _Part:
    """The part with every text made encodable and its details made plain."""
    changes = {
        name: plain.text(value, _RESOURCE_CHARS)
        for name, value in msgspec.structs.asdict(part).items()
        if isinstance(value, str)
    }
    mended = msgspec.structs.replace(part, **changes)
    if isinstance(mended, _Tail):
        mended.details = plain.mapping(msgspec.to_builtins(mended.details), _DETAILS_CHARS)
    return mended


def _fields_of(tail: _Tail, names: Sequence[str]) -> dict[str, object]:
    return {name: value for name in names if (value := getattr(tail, name)) is not None}


def _sealable(details: dict[str, object]) -> dict[str, object]:
    """The details, cut where they would not fit into a line once encrypted."""
    if len(_encode(details)) <= _SEALED_BYTES:
        return details
    return plain.mapping(details, _SMALLER_DETAILS_CHARS[0]) | {plain.CUT_KEY: True}


def _sealed(key: SubjectKey, tail: _Tail, *, actor: bool) -> tuple[_Tail, bytes]:
    """The record's open part, and its details, encrypted; who acted, too, if that is the subject."""
    fields = _fields_of(tail, ("user_id", "session_id", "ip_address") if actor else ())
    details = _sealable(msgspec.to_builtins(tail.details))
    told = msgspec.structs.replace(tail, details={})
    if actor:
        told.user_id, told.session_id, told.ip_address = f"subject:{key.id}", None, None
    return told, seal(key, tail.event_id, fields | {"details": details})


def _fitting(tail: _Tail, room_bytes: int) -> bytes:
    """The tail with less and less of its details, until it fits."""
    details = msgspec.to_builtins(tail.details)
    tail = _mended(msgspec.structs.replace(tail, details={}))
    if isinstance(attempts := details.pop("attempts", None), list):
        details |= {"attempts_total": len(attempts), "attempts": attempts}
    for budget_chars in _SMALLER_DETAILS_CHARS:
        tail.details = plain.mapping(details, budget_chars) | {plain.CUT_KEY: True}
        encoded = _encode(tail)
        if len(encoded) <= room_bytes:
            return encoded
    tail.details = {plain.CUT_KEY: True}
    return _encode(tail)
