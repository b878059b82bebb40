"""A chat request as a neutral conversation."""

import msgspec

from tristar.errors import BadRequest
from tristar.exchange import END_USER_LIMIT
from tristar.providers.fields import NULL, UNREADABLE, Fields, is_absent, optional
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
from tristar.providers.openai.content import Extra, signature_of

UNCARRIED = (
    "metadata",
    "store",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prediction",
)
"""Fields that do not change what is answered: they stay behind where the upstream is another's."""

_READ = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "fallbacks",
        "memory",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "user",
        "safety_identifier",
        *UNCARRIED,
    }
)
_USUAL: dict[str, tuple[bytes, ...]] = {
    "n": (b"1",),
    "logprobs": (b"false",),
    "logit_bias": (b"{}",),
    "modalities": (b'["text"]',),
    "verbosity": (b'"medium"',),
    "service_tier": (b'"auto"', b'"default"'),
    "top_logprobs": (b"0",),
    "functions": (b"[]",),
    "function_call": (),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
}
"""Fields that OpenAI alone knows, and their values that ask for nothing special."""


# Inside content and tools a field that is not known is refused: left out, it could change the answer.
# Messages themselves are lenient: earlier answers come back with whatever their provider put in.


class _Url(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    detail: str | None = None


class _Sound(msgspec.Struct, forbid_unknown_fields=True):
    data: str
    format: str


class _File(msgspec.Struct, forbid_unknown_fields=True):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: _Url | None = None
    input_audio: _Sound | None = None
    file: _File | None = None
    cache_control: Json | None = None
    prompt_cache_breakpoint: msgspec.Raw = NULL


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""


class _Call(msgspec.Struct):
    id: str
    function: _Function
    extra_content: Extra | None = None


class _Thought(msgspec.Struct):
    """Signed thoughts, as `answering.write_thought` writes them."""

    thinking: str = ""
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    thinking_blocks: list[_Thought] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL


class _ToolFunction(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    function: _ToolFunction | None = None


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    type: str = ""
    function: _Named | None = None


class _Schema(msgspec.Struct, forbid_unknown_fields=True):
    schema: Json | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    json_schema: _Schema | None = None


_messages = msgspec.json.Decoder(list[_Message])
_tools = msgspec.json.Decoder(list[_Tool] | None)
_choice = msgspec.json.Decoder(str | _Choice | None)
_format = msgspec.json.Decoder(_Format | None)
_stop = msgspec.json.Decoder(str | list[str] | None)
_int: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)
_number: "msgspec.json.Decoder[float | None]" = msgspec.json.Decoder(float | None)
_bool: "msgspec.json.Decoder[bool | None]" = msgspec.json.Decoder(bool | None)
_text: "msgspec.json.Decoder[str | None]" = msgspec.json.Decoder(str | None)


def end_user(fields: Fields) -> str | None:
    """Whom the request is for; None where `user` is no such name."""
    return (named_user(fields) or "")[:END_USER_LIMIT] or None


def named_user(fields: Fields) -> str | None:
    """The field `user` at its full length, for upstreams."""
    named = fields.get("user")
    if named is None:
        return None
    try:
        return _text.decode(named)
    except UNREADABLE:
        return None  # the upstream's to refuse


def read_conversation(fields: Fields, *, stream: bool) -> Conversation:
    """The whole request.

    Raises:
        BadRequest: a field is not of the shape that OpenAI documents.
    """
    system, turns = _read_messages(fields)
    effort = optional(fields, "reasoning_effort", _text, "a string")
    return Conversation(
        system=system,
        turns=turns,
        tools=_read_tools(fields),
        tool_choice=_read_choice(fields),
        parallel_tools=optional(fields, "parallel_tool_calls", _bool, "true or false"),
        max_tokens=optional(fields, "max_completion_tokens", _int, "a whole number")
        or optional(fields, "max_tokens", _int, "a whole number"),
        temperature=optional(fields, "temperature", _number, "a number"),
        top_p=optional(fields, "top_p", _number, "a number"),
        top_k=optional(fields, "top_k", _int, "a whole number"),
        seed=optional(fields, "seed", _int, "a whole number"),
        presence_penalty=optional(fields, "presence_penalty", _number, "a number") or None,
        frequency_penalty=optional(fields, "frequency_penalty", _number, "a number") or None,
        stop=_read_stop(fields),
        format=_read_format(fields),
        reasoning=None if effort is None else Reasoning(enabled=effort != "none", effort=effort),
        user=named_user(fields) or optional(fields, "safety_identifier", _text, "a string"),
        stream=stream,
        only_here=[name for name in _USUAL if not _is_usual(name, fields)],
        unknown={name: value for name, value in fields.items() if name not in _READ and name not in _USUAL},
    )


def _is_usual(name: str, fields: Fields) -> bool:
    value = fields.get(name)
    return is_absent(value) or bytes(value or b"").replace(b" ", b"") in _USUAL[name]


def _read_messages(fields: Fields) -> tuple[list[Text], list[Turn]]:
    messages = optional(fields, "messages", _messages, "an array of message objects") or []
    system: list[Text] = []
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        turn = _read_message(message, f"messages[{number}]")
        if turn.role == "system" and not turns:
            system += [part for part in turn.parts if isinstance(part, Text)]
        elif _are_results(turn) and turns and _are_results(turns[-1]):
            turns[-1].parts.extend(turn.parts)
        else:
            turns.append(turn)
    return system, turns


def _are_results(turn: Turn) -> bool:
    return bool(turn.parts) and all(isinstance(part, ToolResult) for part in turn.parts)


def _read_message(message: _Message, place: str) -> Turn:
    content = message.content
    given = [_Part("text", content)] if isinstance(content, str) else content or []
    parts = [_read_part(part, f"{place}.content[{n}]") for n, part in enumerate(given)]
    match message.role:
        case "system" | "developer":
            if not all(isinstance(part, Text) for part in parts):
                raise _cannot(f"{place}.content", "anything but text in a system message")
            return Turn("system", parts)
        case "user":
            return Turn("user", parts)
        case "tool":
            return Turn("user", [_read_result(message, parts, place)])
        case "assistant":
            return Turn("assistant", _read_assistant(message, parts, place))
    raise _cannot(f"{place}.role", f"the role {message.role!r}")


def _read_result(message: _Message, parts: list[Part], place: str) -> ToolResult:
    if message.tool_call_id is None:
        raise BadRequest(f"`{place}.tool_call_id` is missing.", param="messages")
    shown = [part for part in parts if isinstance(part, Text | Image | Document)]
    if len(shown) < len(parts):
        raise _cannot(f"{place}.content", "a recording in a tool's result")
    return ToolResult(message.tool_call_id, shown)


def _read_assistant(message: _Message, parts: list[Part], place: str) -> list[Part]:
    if not is_absent(message.function_call):
        raise _cannot(f"{place}.function_call", "the deprecated `function_call`; use `tool_calls`")
    if not is_absent(message.audio):
        raise _cannot(f"{place}.audio", "an earlier answer that the provider keeps as audio")
    parts = [part for part in parts if not (isinstance(part, Text) and not part.text)]
    if message.thinking_blocks:
        thoughts = [Thinking(told.thinking, told.signature, told.data) for told in message.thinking_blocks]
        parts = [*thoughts, *parts]
    elif message.reasoning_content:
        parts.insert(0, Thinking(message.reasoning_content))
    if message.refusal:
        parts.append(Text(message.refusal))
    parts += [
        ToolUse(
            call.id, call.function.name, call.function.arguments, signature=signature_of(call.extra_content)
        )
        for call in message.tool_calls or ()
    ]
    return parts


def _read_part(part: _Part, place: str) -> Part:
    cache = part.cache_control
    match part.type:
        case "text":
            return Text(part.text, cache)
        case "refusal":
            return Text(part.refusal)
        case "image_url" if part.image_url is not None:
            return _read_image(part.image_url, cache)
        case "input_audio" if part.input_audio is not None:
            return Audio(part.input_audio.data, part.input_audio.format)
        case "file" if part.file is not None and part.file.file_data is not None:
            media_type, data = split_data(part.file.file_data)
            return Document(data, media_type or "application/pdf", name=part.file.filename, cache=cache)
    if part.file is not None and part.file.file_id is not None:
        raise _cannot(f"{place}.file.file_id", "a file that a provider keeps")
    raise _cannot(place, f"a content part of the type {part.type!r} as it is here")


def _read_image(image: _Url, cache: Json | None) -> Image:
    media_type, data = split_data(image.url)
    if media_type is None:
        return Image(url=image.url, detail=image.detail, cache=cache)
    return Image(data, media_type, detail=image.detail, cache=cache)


def split_data(url: str) -> tuple[str | None, str]:
    """Media type and base64 of a data URL (RFC 2397); no type where it is none."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None, url
    return head[5:-7] or "application/octet-stream", data


def _read_tools(fields: Fields) -> list[Tool]:
    tools = []
    for number, tool in enumerate(optional(fields, "tools", _tools, "an array of tools") or ()):
        if tool.type != "function" or tool.function is None:
            raise _cannot(f"tools[{number}]", f"a tool of the type {tool.type!r}")
        told = tool.function
        tools.append(Tool(told.name, told.description, told.parameters, told.strict))
    return tools


def _read_choice(fields: Fields) -> ToolChoice | None:
    choice = optional(fields, "tool_choice", _choice, "auto, none, required or an object that names a tool")
    if choice is None:
        return None
    if isinstance(choice, _Choice):
        if choice.function is None:
            raise _cannot("tool_choice", f"a choice of the type {choice.type!r}")
        return ToolChoice("named", choice.function.name)
    kinds: dict[str, ToolChoice] = {
        "auto": ToolChoice("auto"),
        "none": ToolChoice("none"),
        "required": ToolChoice("any"),
    }
    if choice not in kinds:
        raise BadRequest("`tool_choice` must be auto, none, required or an object.", param="tool_choice")
    return kinds[choice]


def _read_stop(fields: Fields) -> list[str]:
    stop = optional(fields, "stop", _stop, "a string or an array of strings")
    return [stop] if isinstance(stop, str) else stop or []


def _read_format(fields: Fields) -> Format | None:
    told = optional(fields, "response_format", _format, "an object with a type")
    if told is None or told.type == "text":
        return None
    if told.type == "json_object":
        return Format()
    if told.type != "json_schema" or told.json_schema is None:
        raise _cannot("response_format", f"the type {told.type!r}")
    schema = told.json_schema
    return Format(schema.schema or {}, schema.name, schema.description, schema.strict)


def _cannot(place: str, what: str) -> BadRequest:
    return BadRequest(
        f"`{place}`: {what} cannot be translated for this model.", param=place.partition("[")[0]
    )
