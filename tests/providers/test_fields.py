"""No field that an official SDK knows is lost in silence: it arrives, or is refused, or is documented."""

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming as Messages
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as Chat
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as Responses
from tests.contract.pairs.questions import (
    CHAT_TOOL,
    HI,
    MESSAGES_TOOL,
    RESPONSES_TOOL,
    SCHEMA,
    THOUGHT,
)
from tests.providers.test_mutations import SURFACES

from tristar.errors import BadRequest
from tristar.providers.dialects import DIALECTS

Json = dict[str, Any]

KNOWN: dict[str, Any] = {"chat": Chat, "messages": Messages, "responses": Responses}
BASES: dict[str, Json] = {
    "chat": {"model": "a", "messages": [HI]},
    "messages": {"model": "a", "messages": [HI], "max_tokens": 50},
    "responses": {"model": "a", "input": [HI]},
}
SHARED: Json = {
    "metadata": {"purpose": "test"},
    "moderation": {"model": "m"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "stream": True,
    "temperature": 0.5,
    "top_logprobs": 2,
    "top_p": 0.5,
    "user": "u",
}
ASKED: dict[str, Json] = {
    "chat": SHARED
    | {
        "audio": {"voice": "v", "format": "mp3"},
        "frequency_penalty": 0.5,
        "function_call": "auto",
        "functions": [{"name": "f"}],
        "logit_bias": {"5": 1},
        "logprobs": True,
        "max_completion_tokens": 40,
        "max_tokens": 41,
        "messages": [HI, HI],
        "modalities": ["text", "audio"],
        "model": "b",
        "n": 2,
        "prediction": {"type": "content", "content": "x"},
        "presence_penalty": 0.5,
        "reasoning_effort": "high",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        "seed": 7,
        "stop": ["END"],
        "stream_options": {"include_obfuscation": False},
        "tool_choice": "required",
        "tools": [CHAT_TOOL],
        "verbosity": "low",
        "web_search_options": {},
    },
    "messages": {
        "betas": ["b"],
        "billing_policy": "p",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "compaction": {"type": "auto"},
        "container": "c",
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "diagnostics": {"previous_message_id": "m"},
        "fallback_credit_token": "t",
        "fallbacks": ["b"],
        "inference_geo": "us",
        "max_tokens": 41,
        "mcp_servers": [{"type": "url", "name": "n", "url": "https://example.com"}],
        "messages": [HI, {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "x"}]}, HI],
        "metadata": {"user_id": "u"},
        "model": "b",
        "output_config": {"effort": "high"},
        "output_format": {"type": "json_schema", "schema": SCHEMA},
        "service_tier": "standard_only",
        "speed": "fast",
        "stop_sequences": ["END"],
        "stream": True,
        "system": "Be brief.",
        "temperature": 0.5,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "thread": {"id": "t"},
        "tool_choice": {"type": "any", "disable_parallel_tool_use": False},
        "tools": [MESSAGES_TOOL],
        "top_k": 5,
        "top_p": 0.5,
        "user_profile_id": "u",
        "workspace_id": "w",
    },
    "responses": SHARED
    | {
        "access_programs": {"x": True},
        "background_options": {"x": "2h"},
        "context_management": [{"type": "compaction"}],
        "conversation": "c",
        "image": {"x": 1},
        "include": ["message.output_text.logprobs"],
        "input": "other",
        "instructions": "Be brief.",
        "max_output_tokens": 40,
        "max_tool_calls": 2,
        "model": "b",
        "previous_response_id": "r",
        "prompt": {"id": "p"},
        "reasoning": {"effort": "high", "summary": "auto"},
        "stream_options": {"include_obfuscation": False},
        "text": {"verbosity": "low"},
        "tool_choice": "required",
        "tools": [RESPONSES_TOOL],
        "truncation": "auto",
    },
}
"""For each surface every field, with a value that asks for something."""

APART = {"model", "stream", "fallbacks", "background"}
"""What the gateway acts upon itself; elsewhere tested."""

DOCUMENT = (Path(__file__).parents[2] / "docs/surfaces.md").read_text(encoding="utf-8")
LEFT_BEHIND = "\n".join(part for part in DOCUMENT.split("\n\n") if re.search("stays? behind", part))
"""The paragraphs that say what is left out without a word."""


@pytest.mark.parametrize("surface", ASKED)
def test_every_field_of_the_sdk_is_asked_for_here(surface: str) -> None:
    """An SDK that learns a field makes this fail, until somebody decides what becomes of it."""
    assert set(get_type_hints(KNOWN[surface])) - {"background"} <= set(ASKED[surface])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("surface", "name"),
    [(surface, name) for surface, fields in ASKED.items() for name in sorted(fields) if name not in APART],
)
def test_a_field_arrives_or_is_refused_or_is_documented(surface: str, name: str, dialect: str) -> None:
    """Arrived is what changes the upstream's request."""
    plain = outcome(surface, dialect, {})
    asked = outcome(surface, dialect, {name: ASKED[surface][name]})
    refused = isinstance(asked, str) and name in asked

    assert refused or f"`{name}`" in LEFT_BEHIND or (isinstance(asked, dict) and asked != plain)


def outcome(surface: str, dialect: str, fields: Json) -> Json | str:
    """What is sent; or of a refusal what it says."""
    call = SURFACES[surface](json.dumps(BASES[surface] | fields).encode())
    try:
        sent: Json = json.loads(call.sent_to(DIALECTS[dialect], "m").body)
    except BadRequest as refused:
        return f"{refused.message} {refused.param}"
    return sent


NESTED: list[tuple[str, Json]] = [
    ("chat", {"messages": [{"role": "assistant", "audio": {"id": "a"}}]}),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}),
    ("chat", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
    ("chat", {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}),
    ("messages", {"tools": [MESSAGES_TOOL | {"defer_loading": True}]}),
    ("messages", {"tools": [MESSAGES_TOOL | {"allowed_callers": ["code_execution_20250825"]}]}),
    ("messages", {"tools": [MESSAGES_TOOL | {"input_examples": [{"city": "Kiel"}]}]}),
    ("messages", {"output_config": {"task_budget": {"type": "tokens", "total": 9}}}),
    (
        "messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                            "citations": {"enabled": True},
                        }
                    ],
                }
            ]
        },
    ),
    (
        "chat",
        {
            "messages": [
                {
                    "role": "system",
                    "content": [{"type": "image_url", "image_url": {"url": "https://h/x.png"}}],
                }
            ]
        },
    ),
    (
        "chat",
        {
            "messages": [
                {
                    "role": "tool",
                    "tool_call_id": "c1",
                    "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}],
                }
            ]
        },
    ),
    ("responses", {"tools": [RESPONSES_TOOL | {"defer_loading": True}]}),
    ("responses", {"tools": [RESPONSES_TOOL | {"allowed_callers": ["programmatic"]}]}),
    ("responses", {"tools": [{"type": "mcp", "server_label": "s"}]}),
    ("responses", {"reasoning": {"mode": "pro"}}),
    ("responses", {"reasoning": {"context": "all"}}),
    ("responses", {"text": {"format": {"type": "grammar", "grammar": "x"}}}),
    (
        "responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f", "filename": "x"}]}]},
    ),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("surface", "fields"), NESTED)
def test_what_would_change_the_answer_inside_a_field_is_refused(
    surface: str, fields: Json, dialect: str
) -> None:
    """By the name of the field that it is in; where the formats are the same it goes through."""
    call = SURFACES[surface](json.dumps(BASES[surface] | fields).encode())
    if call.passes(DIALECTS[dialect]):
        assert fields.items() <= json.loads(call.sent_to(DIALECTS[dialect], "m").body).items()
        return
    with pytest.raises(BadRequest) as refused:
        call.sent_to(DIALECTS[dialect], "m")

    assert next(iter(fields)) in f"{refused.value.message} {refused.value.param}"


@pytest.mark.parametrize(
    ("surface", "fields"),
    [
        (
            "messages",
            {"tools": [MESSAGES_TOOL | {"eager_input_streaming": True, "allowed_callers": ["direct"]}]},
        ),
        ("responses", {"tools": [RESPONSES_TOOL | {"defer_loading": False, "allowed_callers": None}]}),
        ("responses", {"text": {"verbosity": "medium"}, "service_tier": "auto"}),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_asks_for_nothing_special_is_no_hindrance(surface: str, fields: Json, dialect: str) -> None:
    """Clients send some fields always."""
    call = SURFACES[surface](json.dumps(BASES[surface] | fields).encode())

    assert json.loads(call.sent_to(DIALECTS[dialect], "m").body)


def test_what_both_of_openais_apis_know_is_carried() -> None:
    """From responses to chats: verbosity, service tier, and that there shall be no reasoning."""
    asked = {"text": {"verbosity": "low"}, "service_tier": "flex", "reasoning": {"effort": "none"}}
    call = SURFACES["responses"](json.dumps(BASES["responses"] | asked).encode())
    sent = json.loads(call.sent_to(DIALECTS["openai"], "m").body)

    assert (sent["verbosity"], sent["service_tier"], sent["reasoning_effort"]) == ("low", "flex", "none")
