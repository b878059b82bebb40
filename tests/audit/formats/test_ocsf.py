"""OCSF: the class, activity and references of each kind of record."""

import hashlib
import json
from typing import Any

import pytest
from tests.audit.formats.records import every_kind, fields
from tests.audit.specimens import exchange, scribe

from tristar.audit.formats import ocsf


def event(name: str) -> dict[str, Any]:
    """The OCSF event of a kind of record."""
    decoded: dict[str, Any] = json.loads(ocsf.render(every_kind()[name]))
    return decoded


@pytest.mark.parametrize(
    ("name", "class_uid", "activity_id", "activity"),
    [
        ("success", 6003, 99, "Invoke"),
        ("get", 6003, 2, "Read"),
        ("odd method", 6003, 99, "request"),
        ("memory_written", 6003, 1, "Create"),
        ("memory_deleted", 6003, 4, "Delete"),
        ("library", 6003, 99, "order placed!"),
        ("auth_failure", 3002, 1, "Logon"),
        ("auth_success", 3002, 1, "Logon"),
        ("key_created", 3004, 1, "Create"),
        ("key_updated", 3004, 3, "Update"),
        ("key_revoked", 3004, 4, "Delete"),
        ("config_reloaded", 3004, 3, "Update"),
        ("audit_erasure", 3004, 4, "Delete"),
    ],
)
def test_class_and_activity(name: str, class_uid: int, activity_id: int, activity: str) -> None:
    """Each action has its class; type_uid follows from class and activity."""
    seen = event(name)

    assert (seen["class_uid"], seen["activity_id"], seen["activity_name"]) == (
        class_uid,
        activity_id,
        activity,
    )
    assert seen["type_uid"] == class_uid * 100 + activity_id


def test_call_carries_the_ai_operation_profile() -> None:
    """Model, provider and tokens, and the trace."""
    seen = event("success")

    assert seen["metadata"]["profiles"] == ["trace", "ai_operation"]
    assert seen["ai_model"] == {"ai_provider": "openai", "name": "gpt-4o-mini-2024-07-18"}
    context = seen["message_context"]
    assert {name: count for name, count in context.items() if name.endswith("_tokens")} == {
        "prompt_tokens": 12,
        "completion_tokens": 40,
        "total_tokens": 52,
    }
    assert seen["trace"] == {"uid": "0af7651916cd43dd8448eb211c80319c"}
    assert (seen["time"], seen["status"], seen["metadata"]["sequence"]) == (1_750_000_001_023, "Success", 7)


def test_event_can_be_proved_against_the_tree() -> None:
    """`raw_data_hash` is the SHA-256 of the log's own line."""
    record = fields(scribe().from_exchange(exchange()))

    seen = json.loads(ocsf.render(record))

    assert seen["raw_data_hash"]["value"] == hashlib.sha256(record.line).hexdigest()
    assert seen["raw_data_hash"]["algorithm_id"] == 3
