"""A messages request as a neutral conversation."""

import msgspec

from tristar.errors import BadRequest
from tristar.exchange import END_USER_LIMIT
from tristar.providers.fields import NULL, UNREADABLE, Fields, is_absent, optional, required
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
from tristar.providers.seal import unsealed

UNCARRIED = (
    "betas",
    "billing_policy",
    "cache_control",
    "diagnostics",
    "fallback_credit_token",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
)
"""Fields that do not change what is answered: they stay behind where the upstream is another's."""

_READ = frozenset(
    {
        "model",
        "messages",
        "system",
        "stream",
        "fallbacks",
        "memory",
        "max_tokens",
        "metadata",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "thinking",
        "tool_choice",
        "tools",
        "output_config",
        "output_format",
        *UNCARRIED,
    }
)
_ONLY_HERE = {
    "compaction": b"null",
    "container": b"null",
    "context_management": b"null",
    "mcp_servers": b"[]",
    "thread": b"null",
}
"""Fields that Anthropic alone knows, and their values that ask for nothing."""


# Inside messages and tools a field that is not known is refused: left out, it could change the answer.


class _Source(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    data: str | None = None
    media_type: str | None = None
    url: str | None = None


class _Block(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    text: str = ""
    source: _Source | None = None
    title: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: "str | list[_Block] | None" = None
    is_error: bool | None = None
    thinking: str = ""
    signature: str | None = None
    data: str | None = None
    cache_control: Json | None = None
    citations: msgspec.Raw = NULL
    caller: msgspec.Raw = NULL
    """Who made a call in an earlier answer."""


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Json | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    cache_control: Json | None = None


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Thinking(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    schema: Json | None = None


class _Config(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    format: _Format | None = None


_messages = msgspec.json.Decoder(list[_Message])
_system = msgspec.json.Decoder(str | list[_Block] | None)
_tools = msgspec.json.Decoder(list[_Tool] | None)
_choice = msgspec.json.Decoder(_Choice | None)
_metadata = msgspec.json.Decoder(_Metadata | None)
_thinking = msgspec.json.Decoder(_Thinking | None)
_config = msgspec.json.Decoder(_Config | None)
_format = msgspec.json.Decoder(_Format | None)
_stop = msgspec.json.Decoder(list[str] | None)
_int: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)
_number: "msgspec.json.Decoder[float | None]" = msgspec.json.Decoder(float | None)


def end_user(fields: Fields) -> str | None:
    """Whom the request is for: `metadata.user_id`; None where it is no such name."""
    return (_user(fields) or "")[:END_USER_LIMIT] or None


def _user(fields: Fields) -> str | None:
    try:
        told = _metadata.decode(fields.get("metadata", NULL))
    except UNREADABLE:
        return None  # the upstream's to refuse
    return told.user_id if told else None


def read_conversation(fields: Fields, *, stream: bool) -> Conversation:
    """The whole request.

    Raises:
        BadRequest: a field is not of the shape that Anthropic documents.
    """
    config = optional(fields, "output_config", _config, "an object") or _Config()
    choice = optional(fields, "tool_choice", _choice, "an object with a type")
    apart = choice.disable_parallel_tool_use if choice else None
    return Conversation(
        system=_read_system(fields),
        turns=_read_messages(fields),
        tools=_read_tools(fields),
        tool_choice=_read_choice(choice),
        parallel_tools=None if apart is None else not apart,
        max_tokens=optional(fields, "max_tokens", _int, "a whole number"),
        temperature=optional(fields, "temperature", _number, "a number"),
        top_p=optional(fields, "top_p", _number, "a number"),
        top_k=optional(fields, "top_k", _int, "a whole number"),
        stop=optional(fields, "stop_sequences", _stop, "an array of strings") or [],
        format=_read_format(
            config.format or optional(fields, "output_format", _format, "an object with a type")
        ),
        reasoning=_read_reasoning(optional(fields, "thinking", _thinking, "an object with a type"), config),
        user=_user(fields),
        stream=stream,
        only_here=[name for name, usual in _ONLY_HERE.items() if not _is_usual(fields.get(name), usual)],
        unknown={
            name: value for name, value in fields.items() if name not in _READ and name not in _ONLY_HERE
        },
    )


def _is_usual(value: msgspec.Raw | None, usual: bytes) -> bool:
    return is_absent(value) or bytes(value or b"") == usual


def _read_system(fields: Fields) -> list[Text]:
    told = optional(fields, "system", _system, "a string or an array of text blocks")
    if isinstance(told, str):
        return [Text(told)] if told else []
    texts = []
    for number, block in enumerate(told or ()):
        if block.type != "text":
            raise _cannot(f"system[{number}]", block.type)
        texts.append(Text(block.text, block.cache_control))
    return texts


def _read_messages(fields: Fields) -> list[Turn]:
    turns = []
    messages = required(fields, "messages", _messages, "an array of message objects")
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.role not in {"user", "assistant", "system"}:
            raise BadRequest(f"`{place}.role` must be user or assistant.", param="messages")
        given = message.content
        blocks = [_Block("text", text=given)] if isinstance(given, str) else given
        parts = [_read_block(block, f"{place}.content[{n}]") for n, block in enumerate(blocks)]
        turns.append(Turn(message.role, unsealed(parts)))  # type: ignore[arg-type]  # one of the three, see above
    return turns


def _read_block(block: _Block, place: str) -> Part:
    match block.type:
        case "text":
            return Text(block.text, block.cache_control)
        case "image" | "document":
            return _read_source(block, place)
        case "tool_use":
            return ToolUse(block.id, block.name, bytes(block.input).decode(), block.cache_control)
        case "tool_result":
            return _read_result(block, place)
        case "thinking":
            return Thinking(block.thinking, block.signature or None)
        case "redacted_thinking":
            return Thinking(redacted=block.data)
    raise _cannot(place, block.type)


def _read_source(block: _Block, place: str) -> Image | Document:
    source, cache = block.source, block.cache_control
    if not is_absent(block.citations) and b"true" in bytes(block.citations):
        raise _cannot(f"{place}.citations", "enabled")
    if source is None or source.type not in {"base64", "url", "text"}:
        raise _cannot(f"{place}.source", source.type if source else "none")
    if block.type == "image":
        return Image(source.data, source.media_type, source.url, cache=cache)
    if source.type == "text":
        return Document(text=source.data, media_type=source.media_type, name=block.title, cache=cache)
    return Document(source.data, source.media_type, source.url, name=block.title, cache=cache)


def _read_result(block: _Block, place: str) -> ToolResult:
    given = block.content
    blocks = [_Block("text", text=given)] if isinstance(given, str) else given or []
    parts: list[Text | Image | Document] = []
    for number, each in enumerate(blocks):
        part = _read_block(each, f"{place}.content[{number}]")
        if not isinstance(part, Text | Image | Document):
            raise _cannot(f"{place}.content[{number}]", each.type)
        parts.append(part)
    return ToolResult(block.tool_use_id, parts, bool(block.is_error), block.cache_control)


def _read_tools(fields: Fields) -> list[Tool]:
    tools = []
    for number, tool in enumerate(optional(fields, "tools", _tools, "an array of tools") or ()):
        if tool.type not in {None, "custom"}:
            raise _cannot(f"tools[{number}]", str(tool.type))
        if tool.defer_loading or set(tool.allowed_callers or ()) - {"direct"}:
            raise BadRequest(
                f"`tools[{number}]`: `defer_loading` and `allowed_callers` cannot be said to this model.",
                param="tools",
            )
        tools.append(Tool(tool.name, tool.description, tool.input_schema, tool.strict, tool.cache_control))
    return tools


def _read_choice(choice: _Choice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case _Choice(type="tool", name=name):
            return ToolChoice("named", name)
        case _Choice(type="auto" | "any" | "none" as kind):
            return ToolChoice(kind)
    raise BadRequest("`tool_choice.type` must be auto, any, tool or none.", param="tool_choice")


def _read_format(told: _Format | None) -> Format | None:
    if told is None:
        return None
    if told.type != "json_schema":
        raise _cannot("output_config.format", told.type)
    return Format(told.schema or {})


def _read_reasoning(thinking: _Thinking | None, config: _Config) -> Reasoning | None:
    if thinking is None:
        return None if config.effort is None else Reasoning(effort=config.effort)
    return Reasoning(
        enabled=thinking.type != "disabled", effort=config.effort, budget_tokens=thinking.budget_tokens
    )


def _cannot(place: str, kind: str) -> BadRequest:
    param = place.partition("[")[0].partition(".")[0]
    return BadRequest(f"`{place}`: the type {kind!r} cannot be translated for this model.", param=param)
