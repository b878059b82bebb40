"""A neutral conversation as a generateContent request."""

import re

from tristar.errors import CannotCarry
from tristar.providers.fields import encode
from tristar.providers.gemini.contents import SIGNS_CALLS, write_contents
from tristar.providers.neutral import Conversation, Json, Reasoning, Text, Tool, ToolChoice

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""Tokens of thought by effort, as Google's own compatibility layer has them."""

_LEVELS = {"xhigh": "high", "max": "high"}
_HAS_NO_MINIMUM = re.compile(r"-pro\b")
_MODES = {"auto": "AUTO", "none": "NONE", "any": "ANY", "named": "ANY"}


def write_conversation(asked: Conversation, model: str, prefill: str) -> bytes:
    """The body of a request; errors as `Dialect.write`."""
    _refuse(asked)
    contents = write_contents(asked.turns, model)
    if prefill:
        contents.append({"role": "model", "parts": [{"text": prefill}]})
    told: Json = {
        **asked.unknown,
        "contents": contents,
        "systemInstruction": _system([*asked.system, *_later_system(asked)]),
        "tools": [{"functionDeclarations": [_tool(tool) for tool in asked.tools]}] if asked.tools else None,
        "toolConfig": _choice(asked.tool_choice),
        "generationConfig": _config(asked, model) or None,
    }
    return encode({name: value for name, value in told.items() if value is not None})


def _refuse(asked: Conversation) -> None:
    names = [*asked.only_here, *asked.openai]
    if asked.parallel_tools is False:
        names.append("parallel_tool_calls")
    for name in names:
        raise CannotCarry(f"`{name}` cannot be said to this model's provider.", param=name)


def _later_system(asked: Conversation) -> list[Text]:
    """System messages amid a conversation: this API knows them at its beginning alone."""
    later = (turn for turn in asked.turns if turn.role == "system")
    return [part for turn in later for part in turn.parts if isinstance(part, Text)]


def _system(texts: list[Text]) -> Json | None:
    return {"parts": [{"text": text.text} for text in texts]} if texts else None


def _tool(tool: Tool) -> Json:
    told: Json = {
        "name": tool.name,
        "description": tool.description,
        "parametersJsonSchema": tool.schema,
    }
    return {name: value for name, value in told.items() if value is not None}


def _choice(choice: ToolChoice | None) -> Json | None:
    if choice is None:
        return None
    told: Json = {"mode": _MODES[choice.kind]}
    if choice.name is not None:
        told["allowedFunctionNames"] = [choice.name]
    return {"functionCallingConfig": told}


def _config(asked: Conversation, model: str) -> Json:
    told: Json = {
        "maxOutputTokens": asked.max_tokens,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "topK": asked.top_k,
        "seed": asked.seed,
        "presencePenalty": asked.presence_penalty,
        "frequencyPenalty": asked.frequency_penalty,
        "stopSequences": asked.stop or None,
        "thinkingConfig": None if asked.reasoning is None else _thinking(asked.reasoning, model),
    }
    if asked.format is not None:
        told["responseMimeType"] = "application/json"
        told["responseJsonSchema"] = asked.format.schema
    return {name: value for name, value in told.items() if value is not None}


def _thinking(reasoning: Reasoning, model: str) -> Json:
    """How much to think: later models are told a level, earlier ones a number of tokens."""
    has_levels = SIGNS_CALLS.match(model) is not None
    if not reasoning.enabled:
        return {"thinkingLevel": _level("minimal", model)} if has_levels else {"thinkingBudget": 0}
    told: Json = {"includeThoughts": True}
    if reasoning.budget_tokens is not None:
        told["thinkingBudget"] = reasoning.budget_tokens
    elif reasoning.effort and has_levels:
        told["thinkingLevel"] = _level(reasoning.effort, model)
    elif reasoning.effort:
        told["thinkingBudget"] = _BUDGETS.get(reasoning.effort, 8192)
    return told


def _level(effort: str, model: str) -> str:
    if effort == "minimal" and _HAS_NO_MINIMUM.search(model):
        return "low"
    return _LEVELS.get(effort, effort)
