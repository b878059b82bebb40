"""The bodies of OpenAI's chat completions, as the service itself sends them.

Shapes: the published OpenAPI description of OpenAI's API, `CreateChatCompletionResponse` and
`CreateChatCompletionStreamResponse`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CREATED = 1_750_000_000
JSON = dict[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """One call of a function that the model asks for; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"
    call_id: str = "call_1"


def encode(body: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def usage(tokens: tuple[int, int], parts: JSON | None = None) -> JSON:
    """A usage object of (input, output) tokens, with the details that OpenAI gives, and `parts` over them."""
    return {
        "prompt_tokens": tokens[0],
        "completion_tokens": tokens[1],
        "total_tokens": sum(tokens),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        **(parts or {}),
    }


def completion(
    *,
    model: str,
    text: str | None,
    tools: Sequence[ToolCall],
    finish: str,
    tokens: tuple[int, int],
    extra: JSON,
    usage_parts: JSON | None = None,
    thoughts: str | None = None,
) -> JSON:
    """A whole answer, not streamed; `thoughts` as DeepSeek and others show them."""
    message: JSON = {"role": "assistant", "content": text, "refusal": None}
    if thoughts:
        message["reasoning_content"] = thoughts
    if tools:
        message["tool_calls"] = [_tool(tool) for tool in tools]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [choice],
        "usage": usage(tokens, usage_parts),
        **extra,
    }


def deltas(words: Iterable[str], tools: Sequence[ToolCall], thoughts: Iterable[str] = ()) -> list[JSON]:
    """What a stream says, piece by piece: role, thoughts, words, then tools with their arguments in parts."""
    pieces: list[JSON] = [{"role": "assistant", "content": "" if not tools else None}]
    pieces += [{"reasoning_content": thought} for thought in thoughts]
    pieces += [{"content": word} for word in words]
    for index, tool in enumerate(tools):
        opening = _tool(tool) | {"index": index}
        opening["function"] = {"name": tool.name, "arguments": ""}
        pieces.append({"tool_calls": [opening]})
        pieces += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in _parts(tool.arguments)
        ]
    return pieces


def chunk(*, model: str, delta: JSON, finish: str | None, extra: JSON, with_usage: bool) -> JSON:
    """One chunk of a stream; `with_usage` adds the `usage: null` that include_usage brings."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = _chunk(model, [choice]) | extra
    return body | {"usage": None} if with_usage else body


def usage_chunk(*, model: str, tokens: tuple[int, int], usage_parts: JSON | None = None) -> JSON:
    """The extra chunk, without choices, that carries the usage of a stream."""
    return _chunk(model, []) | {"usage": usage(tokens, usage_parts)}


def event(body: bytes) -> bytes:
    """One server-sent event."""
    return b"data: " + body + b"\n\n"


DONE = event(b"[DONE]")


def error(message: str, *, kind: str, code: str | None, param: str | None = None) -> bytes:
    """OpenAI's error envelope."""
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def _chunk(model: str, choices: list[JSON]) -> JSON:
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": choices,
    }


def _tool(tool: ToolCall) -> JSON:
    return {
        "id": tool.call_id,
        "type": "function",
        "function": {"name": tool.name, "arguments": tool.arguments},
    }


def _parts(text: str, size: int = 5) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
