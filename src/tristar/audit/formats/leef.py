"""IBM QRadar Log Event Extended Format 2.0, attributes separated by tabs.

The format has no escapes of its own for attributes. Here `\\` introduces one wherever a character would be
taken for structure: `\\|` in the header; `\\t`, `\\n`, `\\r` and `\\\\` in both. An `=` in a value needs
none, since a key ends at the first.
"""

from tristar.audit.formats.fields import PRODUCT, VENDOR, Fields

_SEVERITIES = {"DEBUG": 1, "INFO": 2, "WARNING": 5, "ERROR": 7, "CRITICAL": 10, "SECURITY": 8}
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_VALUE = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def render(fields: Fields) -> bytes:
    """One LEEF line."""
    header = (VENDOR, PRODUCT, fields.text("version") or "0", fields.action)
    escaped = "|".join(part.translate(_HEADER) for part in header)
    attributes = "\t".join(
        f"{key}={value.translate(_VALUE)}" for key, value in _attributes(fields).items() if value is not None
    )
    return f"LEEF:2.0|{escaped}|x09|{attributes}".encode()


def _attributes(fields: Fields) -> dict[str, str | None]:
    address = fields.address
    return {
        "devTime": str(fields.epoch_ms),
        "cat": fields.action,
        "sev": str(_SEVERITIES.get(fields.level, 2)),
        "src": None if address is None else str(address),
        "usrName": fields.text("user_id"),
        "resource": fields.text("resource"),
        "method": fields.detail("method"),
        "logLevel": fields.level,
        "outcome": fields.text("outcome"),
        "status": fields.text("status"),
        "durationMs": fields.text("duration_ms"),
        "traceId": fields.text("trace_id"),
        "sessionId": fields.text("session_id"),
        "eventId": fields.text("event_id"),
        "seq": fields.text("seq"),
        "host": fields.text("host"),
        "service": fields.text("service"),
        "worker": fields.text("worker"),
        "details": fields.details_json(),
    }
