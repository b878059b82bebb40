"""A record: its fields in order, its bounds, and what it never does to its caller."""

import hashlib
import hmac
import json
import re
import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.specimens import FIELDS, KEY, ORIGIN, attempt, exchange, line, record, scribe

from tristar.audit.plain import CUT_KEY
from tristar.audit.record import (
    ACTIONS,
    MAX_LINE_BYTES,
    TERMINAL_ACTIONS,
    Level,
    Origin,
    Scribe,
    level,
    timestamp,
)
from tristar.clock import ManualClock


class Rude:
    """An object that answers every question with an error."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")


def cycle() -> dict[str, object]:
    """A mapping that holds itself, and a list that does."""
    ring: dict[str, object] = {"list": []}
    ring["self"] = ring
    ring["list"] = [ring, ring]
    return ring


def nested(depth: int) -> list[object]:
    """A list in a list in a list."""
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


HOSTILE: dict[str, object] = {
    "not a number": {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")},
    "2**70": {"n": 2**70, "negative": -(2**70)},
    "a number of 100,000 digits": {"n": 10**100_000},
    "bytes": {"text": b"abc", "binary": b"\xff\x00", b"key": bytearray(b"x")},
    "sets": {"set": {3, 1, 2}, "frozen": frozenset({"a"}), "mixed": {1, "a", None}},
    "a cycle": cycle(),
    "an exception": {"error": ValueError("broken"), "rude": [KeyError(Rude())]},
    "a rude object": {"rude": Rude(), "in a set": {Rude()}, Rude(): Rude()},
    "lone surrogates": {"\ud800": "\udfff and \ud83d", "pair": "\U0001f600"},
    "50 MB of text": {"text": "x" * 50_000_000},
    "50 MB of bytes": {"bytes": b"x" * 50_000_000},
    "50 MB of control characters": {"text": "\x00" * 50_000_000},
    "a million items": list(range(1_000_000)),
    "a million keys": dict.fromkeys(range(1_000_000), "v"),
    "100,000 levels": nested(100_000),
    "keys of many kinds": {1: "a", "1": "b", 1.5: "c", None: "d", False: "e", (1, 2): "f", b"\xff": "g"},
    "no mapping": "just text",
    "a number": 7,
    "an object": object(),
    "a class": Rude,
    "a generator": (n for n in range(10)),
}


def test_fields_stand_in_the_documented_order() -> None:
    """A line begins with timestamp, trace_id, action, resource, log_level; the rest follows as documented."""
    called, event = (
        record(scribe().from_exchange(exchange())),
        record(scribe().event("key_created", "/admin/keys")),
    )

    assert list(called) == FIELDS
    assert list(event) == FIELDS


def test_draft_parts_leave_room_for_the_sequence_number_alone() -> None:
    """`head` ends where the number goes; `tail` goes on after it; neither holds a newline."""
    draft = scribe().event("request", "/v1/x\n", details={"text": "a\nb"})

    assert (draft.head[:14], draft.head[-6:]) == (b'{"timestamp":"', b'"seq":')
    assert (draft.tail[:13], draft.tail[-1:]) == (b',"event_id":"', b"}")
    assert b"\n" not in draft.head + draft.tail
    assert json.loads(line(draft, 7))["event_id"] == draft.event_id


def test_call_record_tells_the_whole_story() -> None:
    """`details` of an llm_call: who, which models, every attempt, tokens and where they come from, times."""
    failed = attempt(
        llm_id="slow",
        status="timeout",
        error_type="timeout",
        first_token_s=None,
        http_status=None,
        tokens_input=0,
        tokens_output=0,
        tokens_source="none",
        finish_reason=None,
        model_answered=None,
    )
    told = exchange(attempts=[failed, attempt(started_s=0.85, reason="timeout")], streamed=True)

    seen = record(scribe().from_exchange(told))

    assert (seen["action"], seen["outcome"], seen["status"]) == ("llm_call", "success", 200)
    assert (seen["user_id"], seen["ip_address"], seen["duration_ms"]) == ("key_1", "192.0.2.7", 900.0)
    details = seen["details"]
    assert (details["llm_id"], details["provider"], details["method"]) == ("fast", "openai", "POST")
    assert (details["model_asked"], details["model_answered"]) == ("fast", "gpt-4o-mini-2024-07-18")
    assert (details["tokens_input"], details["tokens_output"], details["tokens_source"]) == (
        12,
        40,
        "provider",
    )
    assert (details["first_token_ms"], details["finish_reason"], details["stream"]) == (1050.0, "stop", True)
    assert [(a["llm_id"], a["status"], a["ms"]) for a in details["attempts"]] == [
        ("slow", "timeout", 800.0),
        ("fast", "success", 800.0),
    ]
    assert details["attempts"][0]["error_type"] == "timeout"
    assert details["attempts"][1]["reason"] == "timeout"


def test_tokens_are_the_sum_of_all_attempts_and_estimated_if_any_part_is() -> None:
    """The books balance: tokens of every attempt count, and one estimate makes the sum one."""
    told = exchange(attempts=[attempt(tokens_source="estimated", tokens_output=5), attempt()])

    details = record(scribe().from_exchange(told))["details"]

    assert (details["tokens_input"], details["tokens_output"], details["tokens_source"]) == (
        24,
        45,
        "estimated",
    )


def test_fingerprint_is_hmac_sha256_under_the_installations_key() -> None:
    """Prompts and answers leave their size and an HMAC, and nothing else."""
    details = record(scribe().from_exchange(exchange()))["details"]

    assert details["prompt_bytes"] == len(b"what is it?")
    assert details["prompt_hmac"] == hmac.digest(KEY, b"what is it?", "sha256").hex()
    assert details["answer_hmac"] == hmac.digest(KEY, b"an answer", "sha256").hex()
    assert b"what is it" not in line(scribe().from_exchange(exchange()))


@given(key=st.binary(max_size=200), content=st.binary(max_size=300))
def test_fingerprint_agrees_with_the_standard_library_for_any_key(key: bytes, content: bytes) -> None:
    """RFC 2104 at every key length, those over a block included."""
    pen = Scribe(ORIGIN, clock=ManualClock(), fingerprint_key=key)

    details = record(pen.from_exchange(exchange(prompt=content)))["details"]

    assert details["prompt_hmac"] == hmac.new(key, content, hashlib.sha256).hexdigest()


def test_refusal_says_by_whom() -> None:
    """A request that was refused names what refused it, also where it was to be an llm_call."""
    told = exchange(status=429, outcome="refused", attempts=[], rejected_by="limit", rejected_scope="key")
    other = exchange(action="request", status=401, outcome="refused", attempts=[], auth_failure="unknown_key")

    refused, unknown = record(scribe().from_exchange(told)), record(scribe().from_exchange(other))

    assert (refused["details"]["rejected_by"], refused["details"]["rejected_scope"]) == ("limit", "key")
    assert (refused["status"], refused["outcome"], refused["details"]["attempts"]) == (429, "refused", [])
    assert unknown["details"] == {"method": "POST", "auth_failure": "unknown_key"}


def test_exchange_details_are_added_and_redacted() -> None:
    """What the corridor adds passes the same choke point as everything else."""
    told = exchange(details={"cost_usd": 0.01, "api_key": "x", "note": "Bearer abcdefgh12345678"})

    details = record(scribe().from_exchange(told))["details"]

    assert details["cost_usd"] == 0.01
    assert (details["api_key"], details["note"]) == ("[REDACTED]", "Bearer [REDACTED]")
    assert details["llm_id"] == "fast"


@pytest.mark.parametrize("field", ["resource", "model_asked", "session_id", "finish_reason"])
@pytest.mark.parametrize(
    "text", ["\ud800", "sk-abcdefghijklmnop", "x" * 100_000, "\x00" * 100_000, "\u2028\n\r"]
)
def test_what_a_client_sends_never_breaks_the_record(field: str, text: str) -> None:
    """Any text in any field that a client or an upstream reaches: one valid bounded record, no secrets."""
    written = line(scribe().from_exchange(exchange(**cast("Any", {field: text}))))

    assert len(written) <= MAX_LINE_BYTES
    assert b"abcdefghijklmnop" not in written
    assert list(json.loads(written)) == FIELDS


def test_thousand_attempts_are_cut_but_their_tokens_are_not() -> None:
    """A line stays bounded when a request was tried a thousand times; count and tokens survive."""
    draft = scribe().from_exchange(exchange(attempts=[attempt() for _ in range(1000)]))

    details = record(draft)["details"]
    assert len(line(draft)) <= MAX_LINE_BYTES
    assert (details["attempts_total"], details["tokens_output"]) == (1000, 40_000)
    assert details[CUT_KEY] is True
    assert 0 < len(details["attempts"]) < 1000


@pytest.mark.parametrize("details", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_details_give_one_valid_bounded_record(details: object) -> None:
    """NaN, 2**70, bytes, sets, cycles, rude objects, surrogates, 50 MB: one line, valid JSON, quickly."""
    began = time.process_time()

    draft = scribe().event("order_placed", "/orders", "INFO", details)

    assert time.process_time() - began < 2
    assert len(line(draft)) <= MAX_LINE_BYTES
    assert list(record(draft)) == FIELDS


JSONABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner)
    ),
    max_leaves=30,
)


@given(details=JSONABLE, text=st.text(st.characters(), max_size=50))
def test_any_details_and_any_text_give_a_valid_record(details: object, text: str) -> None:
    """For any value at all in any field."""
    draft = scribe().event(
        text,
        text,
        "DEBUG",
        details,
        user_id=text,
        session_id=text,
        trace_id=text,
        ip_address=text,
        outcome=text,
    )

    assert list(record(draft)) == FIELDS


def test_cut_details_say_so() -> None:
    """What had to go is marked, and whole details are not."""
    cut = record(scribe().event("x", "/", details={"text": "a" * 1_000_000}))["details"]
    whole = record(scribe().event("x", "/", details={"text": "a" * 1_000}))["details"]

    assert cut[CUT_KEY] is True
    assert cut["text"].endswith("…[of 1000000 characters]")
    assert whole == {"text": "a" * 1_000}


def test_callers_ids_are_kept_as_they_are() -> None:
    """A caller's own ids, however short, are not replaced."""
    seen = record(scribe().event("x", "/r", trace_id="abc123", event_id="e1", user_id="anna", session_id="s"))

    assert (seen["trace_id"], seen["event_id"], seen["user_id"], seen["session_id"]) == (
        "abc123",
        "e1",
        "anna",
        "s",
    )


def test_event_without_ids_gets_its_own() -> None:
    """A trace id as W3C has them, and an event id that no other record has."""
    one, other = record(scribe().event("x", "/")), record(scribe().event("x", "/"))

    assert re.fullmatch("[0-9a-f]{32}", one["trace_id"])
    assert one["event_id"] != other["event_id"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "12", None, 2**70, object()])
def test_duration_that_is_no_number_is_null(value: object) -> None:
    """A duration is a finite number or null."""
    assert record(scribe().event("x", "/", duration_ms=cast("Any", value)))["duration_ms"] is None


def test_origin_closes_the_record() -> None:
    """service, version, host and worker stand last."""
    seen = record(scribe().event("x", "/"))

    assert [seen[name] for name in FIELDS[-4:]] == ["ailinux-backend", "1.2.3", "host-1", "0"]


def test_origin_is_bounded_and_escaped() -> None:
    """A host name out of hand does not break the record."""
    pen = Scribe(Origin('h"\ud800' * 10_000, "0", "1"), clock=ManualClock(), fingerprint_key=b"")

    draft = pen.event("x", "/")

    assert record(draft)["host"].startswith('h"\\ud800')
    assert len(line(draft)) <= MAX_LINE_BYTES


@pytest.mark.parametrize("name", [*Level, "info", "Security"])
def test_level_is_known_by_name(name: str) -> None:
    """Six levels, upper or lower case."""
    assert record(scribe().event("x", "/", name))["log_level"] == name.upper()


@pytest.mark.parametrize("name", ["", "FATAL", "WARN", None, 3])
def test_unknown_level_is_a_clear_error(name: object) -> None:
    """The message names the bad level and the good ones."""
    with pytest.raises(
        ValueError, match=r"unknown audit level .*DEBUG, INFO, WARNING, ERROR, CRITICAL, SECURITY"
    ):
        level(cast("Any", name))


@given(st.floats(min_value=0, max_value=4e9), st.floats(min_value=0, max_value=4e9))
def test_timestamps_sort_as_times_do(one: float, other: float) -> None:
    """Always 27 characters, and earlier times are smaller texts."""
    assert len(timestamp(one)) == 27
    assert (timestamp(one) < timestamp(other)) == (round(one * 1e6) < round(other * 1e6))


def test_timestamp_has_six_decimals_and_z() -> None:
    """RFC 3339 in UTC; whole seconds too, and the carry into the next second."""
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(1_750_000_000.5) == "2025-06-15T15:06:40.500000Z"
    assert timestamp(0.9999999) == "1970-01-01T00:00:01.000000Z"


def test_terminal_record_is_stamped_with_the_end() -> None:
    """Time of the start plus the duration, so that a step of the clock meanwhile changes neither."""
    assert record(scribe().from_exchange(exchange()))["timestamp"] == timestamp(1_750_000_001.023456)


def test_actions_are_the_documented_closed_list() -> None:
    """The actions that the gateway itself records."""
    documented = (
        "llm_call request auth_success auth_failure access_denied rate_limited budget_exceeded "
        "breaker_transition breaker_override key_created key_updated key_revoked config_reloaded "
        "config_rejected memory_written memory_read memory_deleted audit_read audit_exported audit_verified "
        "audit_segment_closed audit_retention audit_gap audit_erasure audit_hold audit_recovered "
        "service_started service_stopped dependency_transition"
    )

    assert set(documented.split()) == ACTIONS
    assert set(TERMINAL_ACTIONS) == {"llm_call", "request"}
