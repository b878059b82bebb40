"""Elastic Common Schema: the fields that dashboards and rules of Elastic look for."""

import json
from typing import Any

import pytest
from tests.audit.formats.records import AWKWARD, awkward, every_kind

from tristar.audit.formats import ecs

CATEGORIES = {"api", "authentication", "configuration"}
TYPES = {"access", "change", "creation", "deletion", "denied", "info", "start"}


def document(name: str) -> dict[str, Any]:
    """The ECS document of a kind of record."""
    decoded: dict[str, Any] = json.loads(ecs.render(every_kind()[name]))
    return decoded


def test_call_as_a_document() -> None:
    """Time, event, trace, user, source, HTTP, model and tokens, each in its place."""
    seen = document("success")

    assert (seen["@timestamp"], seen["ecs"]["version"]) == ("2025-06-15T15:06:41.023456Z", "9.0.0")
    assert (seen["event"]["category"], seen["event"]["type"], seen["event"]["outcome"]) == (
        ["api"],
        ["access"],
        "success",
    )
    assert (seen["event"]["action"], seen["event"]["duration"], seen["event"]["sequence"]) == (
        "llm_call",
        900_000_000,
        7,
    )
    assert (seen["trace"]["id"], seen["user"]["id"]) == ("0af7651916cd43dd8448eb211c80319c", "key_1")
    assert (seen["source"]["ip"], seen["url"]["path"]) == ("192.0.2.7", "/v1/chat/completions")
    assert seen["http"] == {"request": {"method": "POST"}, "response": {"status_code": 200}}
    assert seen["gen_ai"]["usage"] == {"input_tokens": 12, "output_tokens": 40}
    assert seen["gen_ai"]["response"] == {"model": "gpt-4o-mini-2024-07-18", "finish_reasons": ["stop"]}
    assert seen["service"] == {"name": "ailinux-backend", "version": "1.2.3", "node": {"name": "0"}}


@pytest.mark.parametrize(
    ("name", "category", "kind", "outcome"),
    [
        ("auth_failure", "authentication", "start", "failure"),
        ("auth_success", "authentication", "start", "success"),
        ("access_denied", "api", "denied", "failure"),
        ("key_created", "configuration", "creation", "unknown"),
        ("key_revoked", "configuration", "deletion", "unknown"),
        ("memory_read", "api", "access", "unknown"),
        ("memory_deleted", "api", "deletion", "unknown"),
        ("refused", "api", "access", "failure"),
        ("service_started", "api", "info", "unknown"),
    ],
)
def test_actions_are_categorised(name: str, category: str, kind: str, outcome: str) -> None:
    """Category, type and outcome of the kinds of actions."""
    event = document(name)["event"]

    assert (event["category"], event["type"], event["outcome"]) == ([category], [kind], outcome)


@pytest.mark.parametrize("name", every_kind())
def test_every_kind_of_record_is_one_document_of_allowed_values(name: str) -> None:
    """No null, no empty object, no category or type that the schema does not have."""
    raw = ecs.render(every_kind()[name])
    event = json.loads(raw)["event"]

    assert b"\n" not in raw
    assert set(event["category"]) <= CATEGORIES
    assert set(event["type"]) <= TYPES


def test_address_that_is_none_is_no_ip() -> None:
    """`source.ip` is an address; whatever else was reported is `source.address`."""
    assert document("socket")["source"] == {"address": "unix:"}


@pytest.mark.parametrize("text", AWKWARD)
def test_text_comes_back_as_it_was(text: str) -> None:
    """Through JSON, unchanged."""
    record = awkward(text)

    seen = json.loads(ecs.render(record))

    assert seen["user"]["id"] == record.text("user_id")
    assert seen["tristar"]["details"] == record.details
