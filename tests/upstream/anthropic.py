"""The bodies of Anthropic's Messages, as the service itself sends them.

Shapes: the published API reference of Anthropic's API, "Create a Message", "Streaming messages" and "Errors".
"""

import json
from collections.abc import Sequence

from tests.upstream.payload import JSON, ToolCall, encode

FINISHES = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
"""Stop reasons for the finish reasons that a script may name; others are sent as they are."""

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def usage(tokens: tuple[int, int], parts: JSON | None = None) -> JSON:
    """A usage object of (input, output) tokens, and `parts` over them."""
    return {
        "input_tokens": tokens[0],
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens[1],
        "service_tier": "standard",
        **(parts or {}),
    }


def message(
    *, model: str, blocks: Sequence[JSON], finish: str | None, usage: JSON | None, extra: JSON
) -> JSON:
    """A whole message, or the empty one that a stream begins with."""
    body: JSON = {
        "id": "msg_upstream",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(blocks),
        "stop_reason": None if finish is None else FINISHES.get(finish, finish),
        "stop_sequence": None,
        "usage": usage,
        **extra,
    }
    if usage is None:
        del body["usage"]
    return body


def blocks(thoughts: Sequence[str], text: str, tools: Sequence[ToolCall]) -> list[JSON]:
    """The content of a whole message."""
    made: list[JSON] = []
    if thoughts:
        made.append({"type": "thinking", "thinking": "".join(thoughts), "signature": SIGNATURE})
    if text:
        made.append({"type": "text", "text": text})
    made += [
        {"type": "tool_use", "id": tool.call_id, "name": tool.name, "input": json.loads(tool.arguments)}
        for tool in tools
    ]
    return made


SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"


def stream(
    *,
    model: str,
    thoughts: Sequence[str],
    words: Sequence[str],
    tools: Sequence[ToolCall],
    finish: str,
    tokens: tuple[int, int] | None,
    parts: JSON,
    extra: JSON,
) -> list[bytes]:
    """The payloads of a stream's events, without `message_stop`."""
    before = None if tokens is None else usage((tokens[0], 1), parts)
    opening = message(model=model, blocks=(), finish=None, usage=before, extra=extra)
    events: list[JSON] = [{"type": "message_start", "message": opening}]
    index = 0
    if thoughts:
        deltas = [{"type": "thinking_delta", "thinking": thought} for thought in thoughts]
        deltas.append({"type": "signature_delta", "signature": SIGNATURE})
        events += _block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index += 1
    if words:
        deltas = [{"type": "text_delta", "text": word} for word in words]
        events += _block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for tool in tools:
        deltas = [
            {"type": "input_json_delta", "partial_json": part} for part in ("", *_parts(tool.arguments))
        ]
        block = {"type": "tool_use", "id": tool.call_id, "name": tool.name, "input": {}}
        events += _block(index, block, deltas)
        index += 1
    ending = {"stop_reason": FINISHES.get(finish, finish), "stop_sequence": None}
    last: JSON = {"type": "message_delta", "delta": ending}
    if tokens is not None:
        last["usage"] = {"output_tokens": tokens[1]}
    return [encode(body) for body in [*events, last]]


def event(body: bytes) -> bytes:
    """One server-sent event, named for its type where it has one."""
    try:
        kind = str(json.loads(body)["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = "content_block_delta"
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


STOP = event(b'{"type":"message_stop"}')
PING = event(b'{"type":"ping"}')


def error(status: int, message: str) -> bytes:
    """The error envelope."""
    kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    told = {"type": kind, "message": message}
    return encode({"type": "error", "error": told, "request_id": "req_upstream"})


def _block(index: int, block: JSON, deltas: Sequence[JSON]) -> list[JSON]:
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _parts(text: str, size: int = 5) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]
