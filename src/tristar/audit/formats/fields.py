"""One record as the formats read it: typed, whatever stands in the line."""

import datetime as dt
import ipaddress
from collections.abc import Mapping
from typing import Literal, Self

import msgspec

from tristar.audit import reader

Family = Literal["authentication", "entity", "api"]

VENDOR = "AILinux"
PRODUCT = "TriStar"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_FAMILIES: Mapping[str, Family] = {
    "auth_success": "authentication",
    "auth_failure": "authentication",
    **dict.fromkeys(
        ("key_created", "key_updated", "key_revoked", "config_reloaded", "config_rejected", "audit_erasure",
         "audit_hold", "audit_retention", "breaker_override"),
        "entity",
    ),
}  # fmt: skip

_VERBS = {
    "created": "create",
    "written": "create",
    "updated": "update",
    "reloaded": "update",
    "rejected": "update",
    "override": "update",
    "hold": "update",
    "read": "read",
    "exported": "read",
    "verified": "read",
    "revoked": "delete",
    "deleted": "delete",
    "erasure": "delete",
    "retention": "delete",
}
_FAILURES = {"auth_failure", "access_denied", "rate_limited", "budget_exceeded", "config_rejected"}


class Fields:
    """What a record says. Missing or foreign values are None; nothing here raises for them."""

    __slots__ = ("details", "line", "record")

    def __init__(self, record: Mapping[str, object], line: bytes) -> None:
        self.record = record
        self.line = line
        details = record.get("details")
        self.details: Mapping[str, object] = details if isinstance(details, dict) else {}

    @classmethod
    def of(cls, line: bytes) -> Self:
        """The record in a line of the log, given without its newline. Raises AuditCorrupt."""
        return cls(reader.decode(line), line)

    def text(self, name: str) -> str | None:
        """A field's text, None if it is absent or empty."""
        return _text(self.record.get(name))

    def detail(self, name: str) -> str | None:
        """The text of a field of `details`, None if it is absent or empty."""
        return _text(self.details.get(name))

    def whole(self, name: str) -> int | None:
        """A whole number of the record or its details."""
        value = self.record.get(name, self.details.get(name))
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def action(self) -> str:
        """What was done, as the record names it."""
        return self.text("action") or "unknown"

    @property
    def family(self) -> Family:
        """Whether this is about authentication, about something managed, or a call of the API."""
        return _FAMILIES.get(self.action, "api")

    @property
    def verb(self) -> str | None:
        """create, read, update or delete, where the action is one of these."""
        return _VERBS.get(self.action.rpartition("_")[2])

    @property
    def level(self) -> str:
        """The level's name."""
        return self.text("log_level") or "INFO"

    @property
    def failed(self) -> bool | None:
        """Whether it came to nothing; None if the record does not say."""
        outcome = self.text("outcome")
        if outcome is not None:
            return outcome != "success"
        if self.action in {
            "auth_failure",
            "access_denied",
            "rate_limited",
            "budget_exceeded",
            "config_rejected",
        }:
            return True
        return False if self.action == "auth_success" else None

    @property
    def epoch_us(self) -> int:
        """Microseconds since the epoch."""
        try:
            when = dt.datetime.fromisoformat(self.text("timestamp") or "")
        except ValueError:
            return 0
        return (when.replace(tzinfo=when.tzinfo or dt.UTC) - _EPOCH) // dt.timedelta(microseconds=1)

    @property
    def epoch_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self.epoch_us // 1000

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The client's address, if it is one."""
        try:
            return ipaddress.ip_address(self.text("ip_address") or "")
        except ValueError:
            return None

    def details_json(self) -> str | None:
        """All details as JSON, None if there are none."""
        return msgspec.json.encode(self.details).decode() if self.details else None


def without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that say something: neither None nor an empty object or list."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else str(value)
