"""RFC 5424: one syslog message per record, the record itself as its text.

Structured data carries what a rule filters by, under the enterprise number 32473 that RFC 5612 sets aside
for examples: this project has none of its own. Facility is 13 (log audit). In a file of lines a value of
structured data cannot hold a line break, so control characters are shown there as the pictures Unicode has
for them; the text is exact.
"""

from tristar.audit.formats.fields import Fields

_FACILITY = 13
_SEVERITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2, "SECURITY": 4}
_PARAMETERS = (
    "seq",
    "event_id",
    "trace_id",
    "log_level",
    "resource",
    "outcome",
    "status",
    "user_id",
    "session_id",
    "ip_address",
    "duration_ms",
)
_ESCAPES = str.maketrans(
    {"\\": "\\\\", '"': '\\"', "]": "\\]", "\x7f": "\u2421"}
    | {chr(code): chr(0x2400 + code) for code in range(32)}
)
_BOM = "\ufeff"


def render(fields: Fields, text: bytes | None = None) -> bytes:
    """One RFC 5424 message without framing; `text` takes the record's place as its text."""
    priority = _FACILITY * 8 + _SEVERITIES.get(fields.level, 6)
    header = " ".join(
        (
            f"<{priority}>1",
            fields.text("timestamp") or "-",
            _name(fields.text("host"), 255),
            _name(fields.text("service"), 48),
            _name(fields.text("worker"), 128),
            _name(fields.action, 32),
        )
    )
    return f"{header} {_structured(fields)} {_BOM}".encode() + (fields.line if text is None else text)


def _structured(fields: Fields) -> str:
    parameters = [
        f' {name}="{value.translate(_ESCAPES)}"'
        for name in _PARAMETERS
        if (value := fields.text(name)) is not None
    ]
    return f"[tristar@32473{''.join(parameters)}]"


def _name(value: str | None, limit: int) -> str:
    """A header field: printable ASCII without spaces, or the nil value."""
    return "".join(char for char in value or "" if "!" <= char <= "~")[:limit] or "-"
