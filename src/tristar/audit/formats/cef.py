"""ArcSight Common Event Format, version 0 (Implementing ArcSight CEF, revision 25).

The header escapes `\\` and `|`, the extension `\\`, `=` and line breaks. A header cannot hold a line break:
one there becomes a space, and `act` has the exact text.
"""

from tristar.audit.formats.fields import PRODUCT, VENDOR, Fields

_SEVERITIES = {"DEBUG": 1, "INFO": 3, "WARNING": 5, "ERROR": 7, "CRITICAL": 10, "SECURITY": 8}
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_EXTENSION = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


def render(fields: Fields) -> bytes:
    """One CEF line."""
    severity = _SEVERITIES.get(fields.level, 3)
    header = (VENDOR, PRODUCT, fields.text("version") or "0", fields.action, _title(fields.action))
    escaped = "|".join(part.translate(_HEADER) for part in header)
    extension = " ".join(
        f"{key}={value.translate(_EXTENSION)}"
        for key, value in _extension(fields).items()
        if value is not None
    )
    return f"CEF:0|{escaped}|{severity}|{extension}".encode()


def _extension(fields: Fields) -> dict[str, str | None]:
    address = fields.address
    source = None if address is None else str(address)
    is_v6 = address is not None and address.version == 6
    return {
        "rt": str(fields.epoch_ms),
        "externalId": fields.text("event_id"),
        "act": fields.action,
        "cat": fields.level,
        "request": fields.text("resource"),
        "requestMethod": fields.detail("method"),
        "outcome": fields.text("outcome"),
        "suid": fields.text("user_id"),
        "src": None if is_v6 else source,
        **_labelled("c6a2", "Source IPv6 Address", source if is_v6 else None),
        **_labelled("cs1", "trace_id", fields.text("trace_id")),
        **_labelled("cs2", "session_id", fields.text("session_id")),
        **_labelled("cs3", "worker", fields.text("worker")),
        **_labelled("cn1", "seq", fields.text("seq")),
        **_labelled("cn2", "status", fields.text("status")),
        **_labelled("cfp1", "duration_ms", fields.text("duration_ms")),
        "dvchost": fields.text("host"),
        "sourceServiceName": fields.text("service"),
        "msg": fields.details_json(),
    }


def _labelled(key: str, label: str, value: str | None) -> dict[str, str | None]:
    return {} if value is None else {f"{key}Label": label, key: value}


def _title(action: str) -> str:
    return action.replace("_", " ").capitalize()
