"""The bodies of Google's generateContent, as the service itself sends them.

Shapes: the published API reference of the Gemini API, `GenerateContentResponse` and `google.rpc.Status`.
"""

import json
import re
from collections.abc import Sequence

from tests.upstream.payload import JSON, ToolCall, encode

PATH = re.compile(r".*/models/([^/:]+):(?:generate|streamGenerate)Content")
FINISHES = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
"""Finish reasons for those that a script may name; others are sent as they are."""

WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
SIGNATURE = "c2lnbmF0dXJl"


def response(
    *, model: str, parts: Sequence[JSON], finish: str | None, usage: JSON | None, extra: JSON
) -> JSON:
    """A whole response, or one event of a stream."""
    candidate: JSON = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = FINISHES.get(finish, finish)
    body: JSON = {"candidates": [candidate], "modelVersion": model, "responseId": "r-upstream", **extra}
    if usage is not None:
        body["usageMetadata"] = usage
    return body


def usage(tokens: tuple[int, int], parts: JSON | None = None) -> JSON:
    """The counts of (input, output) tokens, and `parts` over them."""
    told = {"promptTokenCount": tokens[0], "candidatesTokenCount": tokens[1], **(parts or {})}
    return {**told, "totalTokenCount": sum(tokens)}


def parts(thoughts: Sequence[str], text: str, tools: Sequence[ToolCall]) -> list[JSON]:
    """The parts of a whole answer."""
    made: list[JSON] = []
    if thoughts:
        made.append({"text": "".join(thoughts), "thought": True})
    if text:
        made.append({"text": text})
    return made + [_call(tool) for tool in tools]


def stream(
    *,
    model: str,
    thoughts: Sequence[str],
    words: Sequence[str],
    tools: Sequence[ToolCall],
    finish: str,
    tokens: JSON | None,
    extra: JSON,
) -> list[bytes]:
    """The payloads of a stream's events: nothing comes after them."""
    told: list[list[JSON]] = [[{"text": ""}], *([{"text": thought, "thought": True}] for thought in thoughts)]
    told += [*([{"text": word}] for word in words), *([_call(tool)] for tool in tools)]
    events = [response(model=model, parts=each, finish=None, usage=None, extra=extra) for each in told]
    last = response(model=model, parts=[{"text": ""}], finish=finish, usage=tokens, extra=extra)
    return [encode(body) for body in [*events, last]]


def error(status: int, message: str) -> bytes:
    """The error body."""
    word = WORDS.get(status, "UNKNOWN")
    return encode({"error": {"code": status, "message": message, "status": word}})


def _call(tool: ToolCall) -> JSON:
    called = {"id": tool.call_id, "name": tool.name, "args": json.loads(tool.arguments)}
    return {"functionCall": called, "thoughtSignature": SIGNATURE}
