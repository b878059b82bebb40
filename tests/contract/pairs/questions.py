"""What clients ask, in each surface's words, and what must reach the upstream in each dialect's."""

from dataclasses import dataclass, field
from typing import Any

from tests.contract.pairs.answers import NATIVE

Json = dict[str, Any]

HI: Json = {"role": "user", "content": "hi"}
PICTURE = "iVBORw0KGgo="
PAPER = "JVBERi0xLjQK"
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOL: Json = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
}
MESSAGES_TOOL: Json = {"name": "weather", "description": "Tells it.", "input_schema": SCHEMA}
GOOGLE_TOOL: Json = {
    "functionDeclarations": [
        {"name": "weather", "description": "Tells it.", "parametersJsonSchema": SCHEMA},
    ]
}
THOUGHT: Json = {"type": "thinking", "thinking": "Stars.", "signature": "c2ln"}


def google(*parts: Json, role: str = "user") -> Json:
    """One of Google's contents."""
    return {"role": role, "parts": list(parts)}


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    `asked` is what the SDK of each surface is called with beside the model; a surface that is missing has no
    words for it. `sent` is what the upstream's request must hold at least. `refused` says for a (surface,
    dialect), or ("", dialect) for all surfaces, what the 400 names.
    """

    name: str
    asked: dict[str, Json]
    sent: dict[str, Json] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)

    def refusal(self, surface: str, dialect: str) -> str | None:
        """What the 400 names; None where the question reaches the upstream."""
        return self.refused.get((surface, dialect)) or self.refused.get(("", dialect))

    def wanted(self, dialect: str) -> Json:
        """What the upstream's request must hold: of its own format, what was asked."""
        return self.sent.get(NATIVE, self.asked[NATIVE]) if dialect == NATIVE else self.sent[dialect]


def user(*content: Json) -> Json:
    """The only message."""
    return {"messages": [{"role": "user", "content": list(content)}]}


def given(*content: Json) -> Json:
    """The only item of a response's input."""
    return {"input": [{"role": "user", "content": list(content)}]}


def text(words: str) -> Json:
    """A text block, the same on both surfaces."""
    return {"type": "text", "text": words}


CHAT_PICTURE: Json = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
MESSAGES_PICTURE: Json = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
}
ADDRESS = "https://example.com/ship.png"
CHAT_ADDRESS: Json = {"type": "image_url", "image_url": {"url": ADDRESS}}
MESSAGES_ADDRESS: Json = {"type": "image", "source": {"type": "url", "url": ADDRESS}}
CHAT_PAPER: Json = {
    "type": "file",
    "file": {"filename": "log.pdf", "file_data": f"data:application/pdf;base64,{PAPER}"},
}
MESSAGES_PAPER: Json = {
    "type": "document",
    "title": "log.pdf",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PAPER},
}
CHAT_HISTORY: list[Json] = [
    HI,
    {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city":"Kiel"}'},
            },
            {"id": "c2", "type": "function", "function": {"name": "tide", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "clear"},
    {"role": "tool", "tool_call_id": "c2", "content": "high"},
]
MESSAGES_HISTORY: list[Json] = [
    HI,
    {
        "role": "assistant",
        "content": [
            text("I look."),
            {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Kiel"}},
            {"type": "tool_use", "id": "c2", "name": "tide", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("clear")]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [text("high")]},
        ],
    },
]

RESPONSES_TOOL: Json = {
    "type": "function",
    "name": "weather",
    "description": "Tells it.",
    "parameters": SCHEMA,
}
RESPONSES_PICTURE: Json = {
    "type": "input_image",
    "image_url": f"data:image/png;base64,{PICTURE}",
    "detail": "auto",
}
RESPONSES_THOUGHT: Json = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Stars."}],
    "encrypted_content": "tristar-signed:c2ln",
}
RESPONSES_HISTORY: list[Json] = [
    HI,
    {"role": "assistant", "content": "I look."},
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Kiel"}'},
    {"type": "function_call", "call_id": "c2", "name": "tide", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "clear"},
    {"type": "function_call_output", "call_id": "c2", "output": "high"},
]

QUESTIONS = [
    Question(
        "system prompt",
        {
            "chat": {"messages": [{"role": "system", "content": "Be brief."}, HI]},
            "messages": {"system": "Be brief."},
            "responses": {"instructions": "Be brief."},
        },
        {
            "openai": {"messages": [{"role": "system", "content": "Be brief."}, HI]},
            "anthropic": {"system": "Be brief.", "messages": [HI]},
            "gemini": {
                "systemInstruction": {"parts": [{"text": "Be brief."}]},
                "contents": [google({"text": "hi"})],
            },
        },
    ),
    Question(
        "image",
        {
            "chat": user(text("What is it?"), CHAT_PICTURE),
            "messages": user(text("What is it?"), MESSAGES_PICTURE),
            "responses": given({"type": "input_text", "text": "What is it?"}, RESPONSES_PICTURE),
        },
        {
            "openai": user(text("What is it?"), CHAT_PICTURE),
            "anthropic": user(text("What is it?"), MESSAGES_PICTURE),
            "gemini": {
                "contents": [
                    google(
                        {"text": "What is it?"}, {"inlineData": {"mimeType": "image/png", "data": PICTURE}}
                    )
                ]
            },
        },
    ),
    Question(
        "image by its address",
        {
            "chat": user(CHAT_ADDRESS),
            "messages": user(MESSAGES_ADDRESS),
            "responses": given({"type": "input_image", "image_url": ADDRESS, "detail": "auto"}),
        },
        {
            "openai": user(CHAT_ADDRESS),
            "anthropic": user(MESSAGES_ADDRESS),
            "gemini": {
                "contents": [google({"fileData": {"mimeType": "image/png", "fileUri": ADDRESS}})],
            },
        },
    ),
    Question(
        "PDF document",
        {
            "chat": user(CHAT_PAPER),
            "messages": user(MESSAGES_PAPER),
            "responses": given({"type": "input_file", **CHAT_PAPER["file"]}),
        },
        {
            "openai": user(CHAT_PAPER),
            "anthropic": user(MESSAGES_PAPER),
            "gemini": {
                "contents": [google({"inlineData": {"mimeType": "application/pdf", "data": PAPER}})],
            },
        },
    ),
    Question(
        "tools, one of them demanded",
        {
            "chat": {
                "tools": [CHAT_TOOL],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
            },
            "messages": {"tools": [MESSAGES_TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
            "responses": {
                "tools": [RESPONSES_TOOL],
                "tool_choice": {"type": "function", "name": "weather"},
            },
        },
        {
            "openai": {
                "tools": [CHAT_TOOL],
                "tool_choice": {"type": "function", "function": {"name": "weather"}},
            },
            "anthropic": {"tools": [MESSAGES_TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
            "gemini": {
                "tools": [GOOGLE_TOOL],
                "toolConfig": {
                    "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]},
                },
            },
        },
    ),
    Question(
        "one tool call at a time",
        {
            "chat": {"tools": [CHAT_TOOL], "parallel_tool_calls": False},
            "messages": {
                "tools": [MESSAGES_TOOL],
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
            "responses": {"tools": [RESPONSES_TOOL], "parallel_tool_calls": False},
        },
        {
            "openai": {"parallel_tool_calls": False},
            "anthropic": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        },
        {("", "gemini"): "parallel_tool_calls", ("messages", "gemini"): "disable_parallel_tool_use"},
    ),
    Question(
        "results of parallel tool calls",
        {
            "chat": {"messages": CHAT_HISTORY},
            "messages": {"messages": MESSAGES_HISTORY},
            "responses": {"input": RESPONSES_HISTORY},
        },
        {
            "openai": {"messages": CHAT_HISTORY},
            "anthropic": {"messages": MESSAGES_HISTORY},
            "gemini": {
                "contents": [
                    google({"text": "hi"}),
                    google(
                        {"text": "I look."},
                        {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Kiel"}}},
                        {"functionCall": {"id": "c2", "name": "tide", "args": {}}},
                        role="model",
                    ),
                    google(
                        {
                            "functionResponse": {
                                "id": "c1",
                                "name": "weather",
                                "response": {"result": "clear"},
                            },
                        },
                        {"functionResponse": {"id": "c2", "name": "tide", "response": {"result": "high"}}},
                    ),
                ]
            },
        },
    ),
    Question(
        "limits, sampling, stop sequences",
        {
            "chat": {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": ["END"]},
            "messages": {
                "max_tokens": 50,
                "stop_sequences": ["END"],
                "extra_body": {"temperature": 0.5, "top_p": 0.9},
            },
        },
        {
            "openai": {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop": ["END"]},
            "anthropic": {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"]},
            "gemini": {
                "generationConfig": {
                    "maxOutputTokens": 50,
                    "temperature": 0.5,
                    "topP": 0.9,
                    "stopSequences": ["END"],
                }
            },
        },
    ),
    Question(
        "structured output",
        {
            "chat": {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA},
                }
            },
            "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "responses": {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}},
        },
        {
            "openai": {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": SCHEMA},
                }
            },
            "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "gemini": {
                "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            },
        },
    ),
    Question(
        "JSON without a schema",
        {
            "chat": {"response_format": {"type": "json_object"}},
            "responses": {"text": {"format": {"type": "json_object"}}},
        },
        {
            "openai": {"response_format": {"type": "json_object"}},
            "gemini": {"generationConfig": {"responseMimeType": "application/json"}},
        },
        {("", "anthropic"): "response_format", ("responses", "anthropic"): "text.format"},
    ),
    Question(
        "effort of reasoning",
        {
            "chat": {"reasoning_effort": "high"},
            "messages": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            "responses": {"reasoning": {"effort": "high"}},
        },
        {
            "openai": {"reasoning_effort": "high"},
            "anthropic": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            "gemini": {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
        },
    ),
    Question(
        "signed thoughts of an earlier turn",
        {
            "chat": {
                "messages": [HI, {"role": "assistant", "content": "Three.", "thinking_blocks": [THOUGHT]}, HI]
            },
            "messages": {"messages": [HI, {"role": "assistant", "content": [THOUGHT, text("Three.")]}, HI]},
            "responses": {"input": [HI, RESPONSES_THOUGHT, {"role": "assistant", "content": "Three."}, HI]},
        },
        {
            "openai": {"messages": [HI, {"role": "assistant", "content": "Three."}, HI]},
            NATIVE: {"input": [HI, {"role": "assistant", "content": "Three."}, HI]},
            "anthropic": {"messages": [HI, {"role": "assistant", "content": [THOUGHT, text("Three.")]}, HI]},
            "gemini": {
                "contents": [
                    google({"text": "hi"}),
                    google({"text": "Three."}, role="model"),
                    google({"text": "hi"}),
                ],
            },
        },
    ),
    Question(
        "cache marks",
        {
            "messages": {
                "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            },
        },
        {
            "openai": {"messages": [{"role": "system", "content": "Be brief."}, HI]},
            "anthropic": {
                "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            },
            "gemini": {"systemInstruction": {"parts": [{"text": "Be brief."}]}},
        },
    ),
    Question(
        "end user",
        {
            "chat": {"user": "u-1"},
            "messages": {"metadata": {"user_id": "u-1"}},
            "responses": {"safety_identifier": "u-1"},
        },
        {"openai": {"user": "u-1"}, "anthropic": {"metadata": {"user_id": "u-1"}}, "gemini": {}},
    ),
    Question(
        "seed and penalties",
        {"chat": {"seed": 7, "presence_penalty": 0.5}},
        {
            "openai": {"seed": 7, "presence_penalty": 0.5},
            "gemini": {"generationConfig": {"seed": 7, "presencePenalty": 0.5}},
        },
        {("", "anthropic"): "seed"},
    ),
    Question(
        "several answers",
        {"chat": {"n": 2}},
        {"openai": {"n": 2}},
        {("", "anthropic"): "`n`", ("", "gemini"): "`n`"},
    ),
    Question(
        "log probabilities",
        {"chat": {"logprobs": True}, "responses": {"include": ["message.output_text.logprobs"]}},
        {"openai": {"logprobs": True}},
        {
            ("", "anthropic"): "logprobs",
            ("", "gemini"): "logprobs",
            **{("responses", dialect): "include" for dialect in ("openai", "anthropic", "gemini")},
        },
    ),
    Question(
        "the provider's own tools",
        {
            "messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            "responses": {"tools": [{"type": "web_search"}]},
        },
        {"anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}},
        {("", dialect): "web_search" for dialect in ("openai", "gemini")}
        | {("responses", "anthropic"): "web_search"},
    ),
    Question(
        "limits and sampling alone",
        {"responses": {"max_output_tokens": 50, "temperature": 0.5, "top_p": 0.9}},
        {
            "openai": {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9},
            "anthropic": {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9},
            "gemini": {"generationConfig": {"maxOutputTokens": 50, "temperature": 0.5, "topP": 0.9}},
        },
    ),
    Question(
        "a conversation that the provider keeps",
        {"responses": {"previous_response_id": "resp_1"}},
        {},
        {("", dialect): "previous_response_id" for dialect in ("openai", "anthropic", "gemini")},
    ),
]


def lacking(wanted: Any, got: Any, place: str = "body") -> str:  # noqa: ANN401 - JSON values
    """Where `got` does not hold what is wanted; empty if it does. Objects may hold more, arrays not."""
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return f"{place} is {got!r}"
        found = (lacking(value, got.get(name), f"{place}.{name}") for name, value in wanted.items())
        return next((fault for fault in found if fault), "")
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            return f"{place} is {got!r}"
        pairs = enumerate(zip(wanted, got, strict=True))
        found = (lacking(one, other, f"{place}[{n}]") for n, (one, other) in pairs)
        return next((fault for fault in found if fault), "")
    return "" if wanted == got else f"{place} is {got!r}, not {wanted!r}"
