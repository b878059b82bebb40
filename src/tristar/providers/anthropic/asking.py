"""A neutral conversation as a messages request."""

import re

import msgspec

from tristar.errors import CannotCarry
from tristar.providers.anthropic.answering import write_block
from tristar.providers.fields import encode
from tristar.providers.neutral import (
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

MAX_TOKENS = 8192
"""The output's limit where the client names none: this API demands one."""

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_TAKES_BUDGETS = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8}|$|@))")
"""Models before the 4.6 generation: they are told how many tokens to think, later ones with what effort."""


def write_conversation(asked: Conversation, model: str, prefill: str) -> bytes:
    """The body of a messages request; errors as `Dialect.write`."""
    _refuse(asked)
    system = [*asked.system, *_later_system(asked.turns)]
    messages = [_message(turn) for turn in asked.turns if turn.role != "system"]
    if prefill:
        messages.append({"role": "assistant", "content": prefill})
    told: Json = {
        **asked.unknown,
        "model": model,
        "messages": messages,
        "max_tokens": asked.max_tokens or MAX_TOKENS,
        "system": _system(system),
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop_sequences": asked.stop or None,
        "tools": [_tool(tool) for tool in asked.tools] or None,
        "tool_choice": _choice(asked.tool_choice, asked.parallel_tools),
        "metadata": None if asked.user is None else {"user_id": asked.user},
        "stream": True if asked.stream else None,
    }
    if asked.reasoning is not None:
        _think(told, asked.reasoning, model)
    if asked.format is not None:
        _set_format(told, asked.format)
    return encode({name: value for name, value in told.items() if value is not None})


def _refuse(asked: Conversation) -> None:
    names = [*asked.only_here, *asked.openai]
    names += [
        name for name in ("seed", "presence_penalty", "frequency_penalty") if getattr(asked, name) is not None
    ]
    for name in names:
        raise CannotCarry(f"`{name}` cannot be said to this model's provider.", param=name)


def _later_system(turns: list[Turn]) -> list[Text]:
    """System messages amid a conversation: this API knows them at its beginning alone."""
    return [part for turn in turns if turn.role == "system" for part in turn.parts if isinstance(part, Text)]


def _system(texts: list[Text]) -> str | list[Json] | None:
    if len(texts) == 1 and texts[0].cache is None:
        return texts[0].text
    return [_part(text) for text in texts] or None


def _message(turn: Turn) -> Json:
    parts = turn.parts
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return {"role": turn.role, "content": parts[0].text}
    # Thoughts without a signature are another provider's: this one would refuse them.
    kept = [part for part in parts if not _is_foreign(part)]
    return {"role": turn.role, "content": [_part(part) for part in kept]}


def _is_foreign(part: Part) -> bool:
    return isinstance(part, Thinking) and not part.signature and part.redacted is None


def _part(part: Part) -> Json:
    match part:
        case Text() | ToolUse() | Thinking():
            told = _block(part)
        case Image():
            told = {"type": "image", "source": _source(part)}
        case Document():
            told = {"type": "document", "source": _source(part)}
            if part.name is not None:
                told["title"] = part.name
        case ToolResult():
            content = [_part(each) for each in part.parts]
            told = {"type": "tool_result", "tool_use_id": part.call_id, "content": content}
            if part.is_error:
                told["is_error"] = True
        case _:
            name = type(part).__name__.lower()
            raise CannotCarry(f"This model's provider takes no {name} in a message.", param="messages")
    cache = None if isinstance(part, Thinking) else part.cache
    return told if cache is None else told | {"cache_control": cache}


def _block(part: Part) -> Json:
    try:
        return write_block(part)
    except msgspec.DecodeError as error:
        raise CannotCarry(
            "The arguments of a tool call in `messages` are not a JSON object.", param="messages"
        ) from error


def _source(part: Image | Document) -> Json:
    if isinstance(part, Document) and part.text is not None:
        return {"type": "text", "media_type": part.media_type or "text/plain", "data": part.text}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _tool(tool: Tool) -> Json:
    told: Json = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.schema or {"type": "object", "properties": {}},
        "strict": tool.strict,
        "cache_control": tool.cache,
    }
    return {name: value for name, value in told.items() if value is not None}


def _choice(choice: ToolChoice | None, parallel: bool | None) -> Json | None:
    if choice is None and parallel is None:
        return None
    kind = "auto" if choice is None else choice.kind
    if kind == "none":
        return {"type": "none"}
    told: Json = {"type": "tool" if kind == "named" else kind}
    if choice is not None and choice.name is not None:
        told["name"] = choice.name
    if parallel is not None:
        told["disable_parallel_tool_use"] = not parallel
    return told


def _set_format(told: Json, wanted: Format) -> None:
    if wanted.schema is None:
        raise CannotCarry(
            "`response_format` without a schema cannot be said to this model's provider; give a json_schema.",
            param="response_format",
        )
    config: Json = dict(told.get("output_config") or {})  # type: ignore[call-overload]  # put there by `_think`
    told["output_config"] = config | {"format": {"type": "json_schema", "schema": wanted.schema}}


def _think(told: Json, reasoning: Reasoning, model: str) -> None:
    if not reasoning.enabled:
        told["thinking"] = {"type": "disabled"}
        return
    budget = reasoning.budget_tokens
    if budget is None and reasoning.effort and _TAKES_BUDGETS.match(model):
        budget = _BUDGETS.get(reasoning.effort, 8192)
    if budget is not None:
        told["thinking"] = {"type": "enabled", "budget_tokens": budget}
        told["max_tokens"] = _above(budget, told["max_tokens"])
        return
    told["thinking"] = {"type": "adaptive"}
    if reasoning.effort:
        told["output_config"] = {"effort": "low" if reasoning.effort == "minimal" else reasoning.effort}


def _above(budget: int, limit: object) -> int:
    """The output's limit counts the thoughts here: it must leave room for the answer."""
    asked = limit if isinstance(limit, int) else MAX_TOKENS
    return asked if asked > budget else budget + asked
