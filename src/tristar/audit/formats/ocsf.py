"""Open Cybersecurity Schema Framework 1.9: classes 6003, 3002 and 3004.

Calls of an llm carry the `ai_operation` profile. `raw_data_hash` is the SHA-256 of the log's own line, which
is the entry in the signed tree: an event in a SIEM can be proved against a checkpoint.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tristar.audit.formats.fields import PRODUCT, VENDOR, Fields, without_empty

VERSION = "1.9.0-dev"

_SEVERITIES = {"DEBUG": 1, "INFO": 1, "WARNING": 3, "ERROR": 4, "CRITICAL": 5, "SECURITY": 4}
_SEVERITY_NAMES = {1: "Informational", 3: "Medium", 4: "High", 5: "Critical"}
_CRUD = {"create": 1, "read": 2, "update": 3, "delete": 4}
_METHODS = {"POST": 1, "GET": 2, "HEAD": 2, "PUT": 3, "PATCH": 3, "DELETE": 4}
_CRUD_NAMES = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_SHA256 = {"algorithm": "SHA-256", "algorithm_id": 3, "encoding": "Hex", "encoding_id": 1}


class _Kind(NamedTuple):
    category_uid: int
    category: str
    class_uid: int
    name: str


_AUTHENTICATION = _Kind(3, "Identity & Access Management", 3002, "Authentication")
_ENTITY_MANAGEMENT = _Kind(3, "Identity & Access Management", 3004, "Entity Management")
_API_ACTIVITY = _Kind(6, "Application Activity", 6003, "API Activity")


def render(fields: Fields) -> bytes:
    """One OCSF event as a line of JSON."""
    if fields.family == "authentication":
        event = _authentication(fields)
    elif fields.family == "entity":
        event = _entity_management(fields)
    else:
        event = _api_activity(fields)
    return msgspec.json.encode(without_empty(event))


def _authentication(fields: Fields) -> dict[str, object]:
    return {
        **_base(fields, _AUTHENTICATION, 1, "Logon"),
        "user": _user(fields),
        "service": _service(fields),
        "src_endpoint": _source(fields),
        "is_remote": True,
        "logon_type_id": 3,
        "logon_type": "Network",
        "unmapped": dict(fields.details),
    }


def _entity_management(fields: Fields) -> dict[str, object]:
    activity_id = _CRUD.get(fields.verb or "", 3)
    return {
        **_base(fields, _ENTITY_MANAGEMENT, activity_id, _CRUD_NAMES[activity_id]),
        "actor": _actor(fields),
        "entity": without_empty(
            {
                "name": fields.text("resource") or fields.action,
                "uid": fields.detail("key_id") or fields.detail("subject"),
                "type": fields.action.partition("_")[0],
                "data": dict(fields.details),
            }
        ),
        "src_endpoint": _source(fields),
    }


def _api_activity(fields: Fields) -> dict[str, object]:
    is_call = fields.action == "llm_call"
    activity_id, activity = _activity(fields)
    profiles = (*(["trace"] if fields.text("trace_id") else []), *(["ai_operation"] if is_call else []))
    return {
        **_base(fields, _API_ACTIVITY, activity_id, activity, profiles),
        "actor": _actor(fields),
        "api": without_empty(
            {
                "operation": fields.action,
                "service": _service(fields),
                "request": without_empty({"uid": fields.text("event_id")}),
                "response": without_empty({"code": fields.whole("status"), "error": _error(fields)}),
            }
        ),
        "src_endpoint": _source(fields),
        "http_request": without_empty(
            {"http_method": _known_method(fields), "url": without_empty({"path": fields.text("resource")})}
        ),
        "http_response": without_empty({"code": fields.whole("status")}),
        "resources": [{"name": fields.text("resource") or fields.action}],
        "trace": without_empty({"uid": fields.text("trace_id")}),
        "unmapped": dict(fields.details),
        **(_ai_operation(fields) if is_call else {}),
    }


def _base(
    fields: Fields, kind: _Kind, activity_id: int, activity: str, profiles: Sequence[str] = ()
) -> dict[str, object]:
    severity_id = _SEVERITIES.get(fields.level, 1)
    status_id, status = {True: (2, "Failure"), False: (1, "Success"), None: (0, "Unknown")}[fields.failed]
    return {
        "category_uid": kind.category_uid,
        "category_name": kind.category,
        "class_uid": kind.class_uid,
        "class_name": kind.name,
        "activity_id": activity_id,
        "activity_name": activity,
        "type_uid": kind.class_uid * 100 + activity_id,
        "type_name": f"{kind.name}: {activity}",
        "time": fields.epoch_ms,
        "timezone_offset": 0,
        "severity_id": severity_id,
        "severity": _SEVERITY_NAMES[severity_id],
        "status_id": status_id,
        "status": status,
        "status_code": fields.text("status"),
        "status_detail": fields.text("outcome"),
        "message": f"{fields.action} {fields.text('resource') or ''}".rstrip(),
        "metadata": _metadata(fields, profiles),
        "raw_data_hash": {**_SHA256, "value": hashlib.sha256(fields.line).hexdigest()},
    }


def _metadata(fields: Fields, profiles: Sequence[str]) -> dict[str, object]:
    return without_empty(
        {
            "version": VERSION,
            "product": without_empty(
                {"name": PRODUCT, "vendor_name": VENDOR, "version": fields.text("version")}
            ),
            "profiles": list(profiles),
            "uid": fields.text("event_id"),
            "correlation_uid": fields.text("trace_id"),
            "sequence": fields.whole("seq"),
            "event_code": fields.action,
            "log_level": fields.level,
            "log_name": "audit",
            "log_provider": fields.text("service"),
            "original_time": fields.text("timestamp"),
        }
    )


def _activity(fields: Fields) -> tuple[int, str]:
    if fields.action == "llm_call":
        return 99, "Invoke"
    activity_id = _CRUD.get(fields.verb or "") or _METHODS.get(fields.detail("method") or "")
    return (activity_id, _CRUD_NAMES[activity_id]) if activity_id else (99, fields.action)


def _ai_operation(fields: Fields) -> dict[str, object]:
    asked, answered = fields.whole("tokens_input"), fields.whole("tokens_output")
    provider, model = (
        fields.detail("provider"),
        fields.detail("model_answered") or fields.detail("model_asked"),
    )
    return {
        "ai_model": {"ai_provider": provider, "name": model} if provider and model else None,
        "message_context": without_empty(
            {
                "service": _service(fields),
                "ai_role_id": 2,
                "ai_role": "Assistant",
                "prompt_tokens": asked,
                "completion_tokens": answered,
                "total_tokens": None if asked is None or answered is None else asked + answered,
            }
        ),
    }


def _actor(fields: Fields) -> dict[str, object]:
    user_id, session_id = fields.text("user_id"), fields.text("session_id")
    return without_empty(
        {
            "app_name": fields.text("service") or PRODUCT,
            "user": None if user_id is None else {"uid": user_id},
            "session": None if session_id is None else {"uid": session_id},
        }
    )


def _user(fields: Fields) -> dict[str, object]:
    user_id = fields.text("user_id")
    return {"name": "unknown", "type_id": 0, "type": "Unknown"} if user_id is None else {"uid": user_id}


def _service(fields: Fields) -> dict[str, object]:
    return without_empty({"name": fields.text("service") or PRODUCT, "version": fields.text("version")})


def _source(fields: Fields) -> dict[str, object]:
    """The client: by address, by what it was called instead, or this host itself."""
    address, reported = fields.address, fields.text("ip_address")
    if address is not None:
        return {"ip": str(address)}
    return {"name": reported} if reported else {"hostname": fields.text("host") or "localhost"}


def _error(fields: Fields) -> str | None:
    return fields.text("outcome") if fields.failed else None


def _known_method(fields: Fields) -> str | None:
    method = fields.detail("method")
    return method if method in {*_METHODS, "OPTIONS", "TRACE", "CONNECT"} else None
