"""The bodies of OpenAI's Responses, as the service itself sends them.

Shapes: OpenAI's published API description, `Response` and `ResponseStreamEvent`.
"""

import json
from collections.abc import Iterator, Sequence

from tests.upstream.payload import JSON, ToolCall, encode

LEAD = 2
"""So many events go before the first item of the output."""

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def response(
    *, model: str, output: Sequence[JSON], finish: str | None, usage: JSON | None, extra: JSON
) -> JSON:
    """A whole response, or the empty one that a stream begins with."""
    reason = _REASONS.get(finish or "")
    status = "in_progress" if finish is None else "incomplete" if reason else "completed"
    return {
        "id": "resp_upstream",
        "object": "response",
        "created_at": 1_750_000_000,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": model,
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        **extra,
    }


def usage(tokens: tuple[int, int], parts: JSON | None = None) -> JSON:
    """A usage object of (input, output) tokens, and `parts` over them."""
    return {
        "input_tokens": tokens[0],
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": tokens[1],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(tokens),
        **(parts or {}),
    }


def output(thoughts: Sequence[str], text: str, tools: Sequence[ToolCall]) -> list[JSON]:
    """The items of a whole response."""
    made: list[JSON] = []
    if thoughts:
        made.append(_thought("".join(thoughts)))
    if text:
        made.append(_message([_text(text)], "completed"))
    return made + [_call(tool, tool.arguments, "completed") for tool in tools]


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
    """The payloads of a stream's events; the last one holds the whole response and ends it."""
    begun = response(model=model, output=[], finish=None, usage=None, extra=extra)
    events: list[JSON] = [
        {"type": f"response.{word}", "response": begun} for word in ("created", "in_progress")
    ]
    index = 0
    if thoughts:
        events += _thinking(index, thoughts)
        index += 1
    if words:
        events += _saying(index, words)
        index += 1
    for tool in tools:
        events += _calling(index, tool)
        index += 1
    items = output(thoughts, "".join(words), tools)
    whole = response(model=model, output=items, finish=finish, usage=tokens, extra=extra)
    events.append({"type": f"response.{whole['status']}", "response": whole})
    return [encode({**event, "sequence_number": number}) for number, event in enumerate(events)]


def event(body: bytes) -> bytes:
    """One server-sent event, named for its type where it has one."""
    try:
        kind = str(json.loads(body)["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        kind = "response.output_text.delta"
    return b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n"


def _text(text: str) -> JSON:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(content: Sequence[JSON], status: str) -> JSON:
    return {
        "id": "msg_upstream",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(content),
    }


def _thought(text: str) -> JSON:
    return {"id": "rs_upstream", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


def _call(tool: ToolCall, arguments: str, status: str) -> JSON:
    called = {"call_id": tool.call_id, "name": tool.name, "arguments": arguments}
    return {"id": f"fc_{tool.call_id}", "type": "function_call", "status": status, **called}


def _saying(index: int, words: Sequence[str]) -> Iterator[JSON]:
    at = {"item_id": "msg_upstream", "output_index": index, "content_index": 0}
    text = "".join(words)
    yield {"type": "response.output_item.added", "output_index": index, "item": _message([], "in_progress")}
    yield {"type": "response.content_part.added", **at, "part": _text("")}
    for word in words:
        yield {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **at, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": _text(text)}
    done = _message([_text(text)], "completed")
    yield {"type": "response.output_item.done", "output_index": index, "item": done}


def _thinking(index: int, thoughts: Sequence[str]) -> Iterator[JSON]:
    at = {"item_id": "rs_upstream", "output_index": index, "summary_index": 0}
    text = "".join(thoughts)
    begun = {"id": "rs_upstream", "type": "reasoning", "summary": []}
    part = {"type": "summary_text", "text": ""}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    yield {"type": "response.reasoning_summary_part.added", **at, "part": part}
    for thought in thoughts:
        yield {"type": "response.reasoning_summary_text.delta", **at, "delta": thought}
    yield {"type": "response.reasoning_summary_text.done", **at, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **at, "part": {**part, "text": text}}
    yield {"type": "response.output_item.done", "output_index": index, "item": _thought(text)}


def _calling(index: int, tool: ToolCall) -> Iterator[JSON]:
    at = {"item_id": f"fc_{tool.call_id}", "output_index": index}
    begun = _call(tool, "", "in_progress")
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    for start in range(0, len(tool.arguments), 5):
        delta = tool.arguments[start : start + 5]
        yield {"type": "response.function_call_arguments.delta", **at, "delta": delta}
    told = {"name": tool.name, "arguments": tool.arguments}
    yield {"type": "response.function_call_arguments.done", **at, **told}
    done = _call(tool, tool.arguments, "completed")
    yield {"type": "response.output_item.done", "output_index": index, "item": done}
