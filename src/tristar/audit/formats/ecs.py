"""Elastic Common Schema 9: one document per record.

What the schema has no field for stands under `tristar`, where `details` is best mapped as `flattened`.
"""

import msgspec

from tristar.audit.formats.fields import Fields, without_empty

VERSION = "9.0.0"

_CATEGORIES = {"authentication": "authentication", "entity": "configuration", "api": "api"}
_TYPES = {"create": "creation", "read": "access", "update": "change", "delete": "deletion"}
_SEVERITIES = {"DEBUG": 10, "INFO": 20, "WARNING": 40, "ERROR": 60, "CRITICAL": 90, "SECURITY": 80}


def render(fields: Fields) -> bytes:
    """One ECS document as a line of JSON."""
    address, reported = fields.address, fields.text("ip_address")
    document = {
        "@timestamp": fields.text("timestamp"),
        "ecs": {"version": VERSION},
        "message": f"{fields.action} {fields.text('resource') or ''}".rstrip(),
        "event": _event(fields),
        "log": {"level": fields.level.lower(), "logger": "tristar.audit"},
        "trace": _id(fields.text("trace_id")),
        "user": _id(fields.text("user_id")),
        "source": without_empty({"address": reported, "ip": str(address) if address else None}),
        "url": without_empty({"path": fields.text("resource")}),
        "http": _http(fields),
        "gen_ai": _gen_ai(fields),
        "service": without_empty(
            {
                "name": fields.text("service"),
                "version": fields.text("version"),
                "node": without_empty({"name": fields.text("worker")}),
            }
        ),
        "host": without_empty({"hostname": fields.text("host")}),
        "tristar": without_empty({"session_id": fields.text("session_id"), "details": dict(fields.details)}),
    }
    return msgspec.json.encode(without_empty(document))


def _event(fields: Fields) -> dict[str, object]:
    duration_ms = fields.record.get("duration_ms")
    outcome = {True: "failure", False: "success", None: "unknown"}[fields.failed]
    return without_empty(
        {
            "kind": "event",
            "module": "tristar",
            "dataset": "tristar.audit",
            "action": fields.action,
            "category": [_CATEGORIES[fields.family]],
            "type": [_type(fields)],
            "outcome": outcome,
            "id": fields.text("event_id"),
            "sequence": fields.whole("seq"),
            "severity": _SEVERITIES.get(fields.level, 20),
            "duration": round(duration_ms * 1e6) if isinstance(duration_ms, int | float) else None,
        }
    )


def _type(fields: Fields) -> str:
    if fields.family == "authentication":
        return "start"
    if fields.action == "access_denied":
        return "denied"
    return _TYPES.get(fields.verb or "", "access" if fields.action in {"llm_call", "request"} else "info")


def _http(fields: Fields) -> dict[str, object]:
    return without_empty(
        {
            "request": without_empty({"method": fields.detail("method")}),
            "response": without_empty({"status_code": fields.whole("status")}),
        }
    )


def _gen_ai(fields: Fields) -> dict[str, object]:
    if fields.action != "llm_call":
        return {}
    finish = fields.detail("finish_reason")
    return without_empty(
        {
            "operation": {"name": "chat"},
            "provider": without_empty({"name": fields.detail("provider")}),
            "request": without_empty({"model": fields.detail("model_asked")}),
            "response": without_empty(
                {"model": fields.detail("model_answered"), "finish_reasons": [finish] if finish else []}
            ),
            "usage": without_empty(
                {"input_tokens": fields.whole("tokens_input"), "output_tokens": fields.whole("tokens_output")}
            ),
        }
    )


def _id(value: str | None) -> dict[str, object]:
    return without_empty({"id": value})
