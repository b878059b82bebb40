"""What can be asked of the log; `query` answers. Apart from it, since answering loads DuckDB."""

from dataclasses import asdict, dataclass

import msgspec

from tristar.audit.export import Moment
from tristar.audit.record import level as known_level

MOST_RECORDS = 100_000
"""No answer holds more; export instead."""

Record = dict[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """What a record must be to match: every field that is given, exactly; times inclusive, naive ones local.

    `text` is found anywhere in a record's fields or details, in any case; what is encrypted for a subject is
    not searched. `before_seq` and `after_seq` are exclusive. `limit` records are answered, the newest first,
    or the oldest first if `newest_first` is off.
    """

    since: Moment | None = None
    until: Moment | None = None
    level: str | None = None
    action: str | None = None
    user_id: str | None = None
    trace_id: str | None = None
    resource: str | None = None
    limit: int = 100
    newest_first: bool = True
    before_seq: int | None = None
    after_seq: int | None = None
    text: str | None = None

    def wanted(self) -> dict[str, str]:
        """The fields that must match, and their values. Raises ValueError for a level that is none."""
        fields = {
            "log_level": None if self.level is None else str(known_level(self.level)),
            "action": self.action,
            "user_id": self.user_id,
            "trace_id": self.trace_id,
            "resource": self.resource,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def fields(self) -> dict[str, object]:
        """Every field by its name."""
        return asdict(self)


def field_needle(name: str, value: str) -> bytes:
    """A field of a record as it stands in the line."""
    return b'"%s":%s' % (name.encode(), msgspec.json.encode(value))
