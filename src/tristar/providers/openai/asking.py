"""A neutral conversation as a chat request."""

import re

from tristar.errors import CannotCarry
from tristar.providers.fields import encode
from tristar.providers.neutral import (
    Audio,
    Conversation,
    Document,
    Format,
    Image,
    Json,
    Part,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)
from tristar.providers.openai.answering import extra_of, write_call

_COUNTS_THOUGHTS = re.compile(r"(.*/)?(o\d|gpt-([5-9]|\d\d))")
"""Models of OpenAI's that refuse `max_tokens`; servers of other makers know nothing else."""

_SIGNS_CALLS = re.compile(r"(.*/)?gemini-")
"""Models that want a call's signature back, behind Google's compatibility layer."""

_LOW_BUDGET, _MEDIUM_BUDGET = 4096, 16384


def write_conversation(asked: Conversation, model: str, prefill: str) -> bytes:
    """The body of a chat request; errors as `Dialect.write`."""
    for name in asked.only_here:
        raise CannotCarry(f"`{name}` cannot be said to this model's provider.", param=name)
    messages = [_system(asked.system)] if asked.system else []
    signs = _SIGNS_CALLS.match(model) is not None
    for turn in asked.turns:
        messages += _turn(turn, signs=signs)
    if prefill:
        messages.append({"role": "assistant", "content": prefill})
    limit = "max_completion_tokens" if _COUNTS_THOUGHTS.match(model) else "max_tokens"
    told: Json = {
        **asked.unknown,
        "model": model,
        "messages": messages,
        limit: asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "seed": asked.seed,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "stop": asked.stop or None,
        "tools": [_tool(tool) for tool in asked.tools] or None,
        "tool_choice": _choice(asked.tool_choice),
        "parallel_tool_calls": asked.parallel_tools,
        "response_format": _format(asked.format),
        "reasoning_effort": _effort(asked.reasoning),
        "user": asked.user,
        **asked.openai,
    }
    if asked.stream:
        told |= {"stream": True, "stream_options": {"include_usage": True}}
    return encode({name: value for name, value in told.items() if value is not None})


def _system(texts: list[Text]) -> Json:
    return {"role": "system", "content": _content(list(texts))}


def _turn(turn: Turn, *, signs: bool) -> list[Json]:
    """The messages of one turn; each tool result is one of its own, what they show besides comes after."""
    if turn.role == "assistant":
        return [_assistant(turn.parts, signs=signs)]
    messages: list[Json] = []
    shown: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            texts: list[Part] = [each for each in part.parts if isinstance(each, Text)]
            shown += [each for each in part.parts if not isinstance(each, Text)]
            messages.append({"role": "tool", "tool_call_id": part.call_id, "content": _content(texts)})
        else:
            shown.append(part)
    if shown or not messages:
        messages.append({"role": turn.role, "content": _content(shown)})
    return messages


def _assistant(parts: list[Part], *, signs: bool) -> Json:
    texts: list[Part] = [part for part in parts if isinstance(part, Text)]
    calls = [part for part in parts if isinstance(part, ToolUse)]
    for part in parts:
        if not isinstance(part, Text | ToolUse | Thinking):
            raise CannotCarry(
                "An assistant's message can show this model's provider text and tool calls alone.",
                param="messages",
            )
    message: Json = {"role": "assistant", "content": _content(texts) if texts or not calls else None}
    if calls:
        message["tool_calls"] = [
            write_call(call) | (extra_of(call.signature) if signs else {}) for call in calls
        ]
    return message


def _content(parts: list[Part]) -> str | list[Json]:
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> Json:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            url = part.url if part.data is None else f"data:{part.media_type};base64,{part.data}"
            told: Json = {"url": url}
            return {"type": "image_url", "image_url": told | ({"detail": part.detail} if part.detail else {})}
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case Document(text=str(text)):
            return {"type": "text", "text": text}
        case Document(data=str(data)):
            name = part.name or "document.pdf"
            told = {"filename": name, "file_data": f"data:{part.media_type};base64,{data}"}
            return {"type": "file", "file": told}
        case Document(url=str()):
            raise CannotCarry(
                "A document in `messages` reaches this model's provider only with its data, not by address.",
                param="messages",
            )
    raise CannotCarry(
        f"A {type(part).__name__.lower()} as it is in `messages` cannot be shown to this model's provider.",
        param="messages",
    )


def _tool(tool: Tool) -> Json:
    told: Json = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    function = {name: value for name, value in told.items() if value is not None}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice | None) -> str | Json | None:
    if choice is None:
        return None
    if choice.kind == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.kind == "any" else choice.kind


def _format(wanted: Format | None) -> Json | None:
    if wanted is None:
        return None
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: Json = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _effort(reasoning: Reasoning | None) -> str | None:
    if reasoning is None or not reasoning.enabled:
        return "none" if reasoning is not None and reasoning.effort == "none" else None
    if reasoning.effort is not None:
        return "xhigh" if reasoning.effort == "max" else reasoning.effort
    if reasoning.budget_tokens is None:
        return None
    if reasoning.budget_tokens < _LOW_BUDGET:
        return "low"
    return "medium" if reasoning.budget_tokens < _MEDIUM_BUDGET else "high"
