"""A responses request as a neutral conversation."""

import msgspec

from tristar.errors import BadRequest, CannotCarry
from tristar.exchange import END_USER_LIMIT
from tristar.providers.fields import NULL, UNREADABLE, Fields, is_absent, optional
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
from tristar.providers.openai.asked import split_data
from tristar.providers.responses.output import REDACTED, SIGNED
from tristar.providers.seal import unsealed

UNCARRIED = (
    "metadata",
    "store",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
)
"""Fields that do not change what is answered: they stay behind where the upstream has no responses."""

_READ = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "fallbacks",
        "memory",
        "max_output_tokens",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "user",
        "safety_identifier",
        "service_tier",
        *UNCARRIED,
    }
)
_USUAL: dict[str, tuple[bytes, ...]] = {
    "access_programs": (),
    "background": (b"false",),
    "background_options": (),
    "context_management": (b"[]",),
    "conversation": (),
    "image": (),
    "include": (b"[]", b'["reasoning.encrypted_content"]'),
    "max_tool_calls": (),
    "moderation": (),
    "previous_response_id": (),
    "prompt": (),
    "top_logprobs": (b"0",),
    "truncation": (b'"disabled"',),
}
"""Fields that need what Responses alone has (state, hosted tools), and their values that ask for nothing."""


# Inside content, tools and formats an unknown field is refused: left out, it could change the answer.
# Items themselves are lenient: earlier output comes back with whatever its provider put in.


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    annotations: msgspec.Raw = NULL
    logprobs: msgspec.Raw = NULL
    prompt_cache_breakpoint: msgspec.Raw = NULL
    parsed: msgspec.Raw = NULL
    """What OpenAI's SDK adds to a text that it has parsed, and sends back."""


class _Summary(msgspec.Struct):
    text: str = ""


class _Item(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""
    output: str | list[_Part] = ""
    summary: list[_Summary] = []
    encrypted_content: str | None = None


class _Tool(msgspec.Struct):
    """A tool; of functions, which alone are read, every field is known."""

    type: str
    name: str = ""
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None
    output_schema: msgspec.Raw = NULL
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    is_async: bool | None = msgspec.field(name="async", default=None)


class _Choice(msgspec.Struct):
    type: str = ""
    name: str | None = None


class _Format(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    schema: Json | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class _TextParam(msgspec.Struct, forbid_unknown_fields=True):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct, forbid_unknown_fields=True):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    mode: str | None = None
    context: str | None = None


_input = msgspec.json.Decoder(str | list[_Item])
_tools = msgspec.json.Decoder(list[_Tool] | None)
_choice = msgspec.json.Decoder(str | _Choice | None)
_text_param = msgspec.json.Decoder(_TextParam | None)
_reasoning = msgspec.json.Decoder(_Reasoning | None)
_int: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)
_number: "msgspec.json.Decoder[float | None]" = msgspec.json.Decoder(float | None)
_bool: "msgspec.json.Decoder[bool | None]" = msgspec.json.Decoder(bool | None)
_string: "msgspec.json.Decoder[str | None]" = msgspec.json.Decoder(str | None)


def end_user(fields: Fields) -> str | None:
    """Whom the request is for: `safety_identifier`, else `user`; None where neither is such a name."""
    for name in ("safety_identifier", "user"):
        try:
            told = _string.decode(fields.get(name, NULL))
        except UNREADABLE:
            continue  # the upstream's to refuse
        if told:
            return told[:END_USER_LIMIT]
    return None


def read_conversation(fields: Fields, *, stream: bool) -> Conversation:
    """The whole request.

    Raises:
        BadRequest: a field is not of the shape that OpenAI documents, or needs what Responses alone has.
    """
    text = optional(fields, "text", _text_param, "an object") or _TextParam()
    only_here = [name for name in _USUAL if not _is_usual(name, fields)]
    reasoning = optional(fields, "reasoning", _reasoning, "an object") or _Reasoning()
    only_here += [f"reasoning.{name}" for name in ("mode", "context") if getattr(reasoning, name) is not None]
    reader = _Turns()
    reader.read(optional(fields, "input", _input, "a string or an array of items") or "")
    instructions = optional(fields, "instructions", _string, "a string")
    effort = reasoning.effort
    return Conversation(
        system=[*([Text(instructions)] if instructions else []), *reader.system],
        turns=[Turn(turn.role, unsealed(turn.parts)) for turn in reader.turns],
        tools=_read_tools(fields),
        tool_choice=_read_choice(fields),
        parallel_tools=optional(fields, "parallel_tool_calls", _bool, "true or false"),
        max_tokens=optional(fields, "max_output_tokens", _int, "a whole number"),
        temperature=optional(fields, "temperature", _number, "a number"),
        top_p=optional(fields, "top_p", _number, "a number"),
        format=_read_format(text.format),
        reasoning=None if effort is None else Reasoning(enabled=effort != "none", effort=effort),
        user=end_user(fields),
        stream=stream,
        only_here=only_here,
        openai=_read_openai(fields, text),
        unknown={name: value for name, value in fields.items() if name not in _READ and name not in _USUAL},
    )


def _read_openai(fields: Fields, text: _TextParam) -> Json:
    """What chats know, too, but for values that ask for nothing."""
    told: Json = {}
    if text.verbosity not in {None, "medium"}:
        told["verbosity"] = text.verbosity
    tier = optional(fields, "service_tier", _string, "a string")
    if tier not in {None, "auto", "default"}:
        told["service_tier"] = tier
    return told


def _is_usual(name: str, fields: Fields) -> bool:
    value = fields.get(name)
    return is_absent(value) or bytes(value or b"").replace(b" ", b"") in _USUAL[name]


class _Turns:
    """Gathers items into turns: an assistant's thoughts, text and calls in a row are one."""

    def __init__(self) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []

    def read(self, given: str | list[_Item]) -> None:
        if isinstance(given, str):
            self.turns.append(Turn("user", [Text(given)]))
            return
        for number, item in enumerate(given):
            self._read_item(item, f"input[{number}]")

    def _read_item(self, item: _Item, place: str) -> None:
        match item.type:
            case "message":
                self._read_message(item, place)
            case "function_call":
                call = ToolUse(_call_id(item, place), item.name, item.arguments)
                self._add_to_assistant([call])
            case "function_call_output":
                self._add_result(item, place)
            case "reasoning":
                self._add_to_assistant([_read_thoughts(item)])
            case _:
                raise _cannot(place, f"an item of the type {item.type!r}")

    def _read_message(self, item: _Item, place: str) -> None:
        content = item.content
        given = [_Part("input_text", content)] if isinstance(content, str) else content or []
        parts = [_read_part(part, f"{place}.content[{n}]") for n, part in enumerate(given)]
        match item.role:
            case "assistant":
                self._add_to_assistant(parts)
            case "user":
                self.turns.append(Turn("user", parts))
            case "system" | "developer" if not self.turns:
                self.system += [part for part in parts if isinstance(part, Text)]
            case "system" | "developer":
                self.turns.append(Turn("system", parts))
            case _:
                raise BadRequest(
                    f"`{place}.role` must be user, assistant, system or developer.", param="input"
                )

    def _add_to_assistant(self, parts: list[Part]) -> None:
        if self.turns and self.turns[-1].role == "assistant":
            self.turns[-1].parts.extend(parts)
        else:
            self.turns.append(Turn("assistant", parts))

    def _add_result(self, item: _Item, place: str) -> None:
        given = [_Part("input_text", item.output)] if isinstance(item.output, str) else item.output
        parts = [_read_part(part, f"{place}.output[{n}]") for n, part in enumerate(given)]
        shown = [part for part in parts if isinstance(part, Text | Image | Document)]
        result = ToolResult(_call_id(item, place), shown)
        last = self.turns[-1].parts if self.turns else []
        if last and all(isinstance(part, ToolResult) for part in last):
            last.append(result)
        else:
            self.turns.append(Turn("user", [result]))


def _call_id(item: _Item, place: str) -> str:
    if not item.call_id:
        raise BadRequest(f"`{place}.call_id` is missing.", param="input")
    return item.call_id


def _read_thoughts(item: _Item) -> Thinking:
    """Thoughts of an earlier turn; what another provider encrypted means nothing to this one."""
    kept = item.encrypted_content or ""
    if kept.startswith(REDACTED):
        return Thinking(redacted=kept.removeprefix(REDACTED))
    text = "".join(summary.text for summary in item.summary)
    if not text and isinstance(item.content, list):
        text = "".join(part.text for part in item.content)
    return Thinking(text, kept.removeprefix(SIGNED) if kept.startswith(SIGNED) else None)


def _read_part(part: _Part, place: str) -> Part:
    match part.type:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return Text(part.text)
        case "refusal":
            return Text(part.refusal)
        case "input_image" if part.image_url is not None:
            media_type, data = split_data(part.image_url)
            detail = None if part.detail == "auto" else part.detail
            if media_type is None:
                return Image(url=part.image_url, detail=detail)
            return Image(data, media_type, detail=detail)
        case "input_file" if part.file_id is None and part.file_url is not None:
            return Document(url=part.file_url, name=part.filename)
        case "input_file" if part.file_data is not None:
            media_type, data = split_data(part.file_data)
            return Document(data, media_type or "application/pdf", name=part.filename)
    if part.file_id is not None:
        raise _cannot(f"{place}.file_id", "a file that a provider keeps")
    raise _cannot(place, f"a part of the type {part.type!r} as it is here")


def _read_tools(fields: Fields) -> list[Tool]:
    tools = []
    for number, tool in enumerate(optional(fields, "tools", _tools, "an array of tools") or ()):
        if tool.type != "function":
            raise _cannot(f"tools[{number}]", f"a tool of the type {tool.type!r}")
        if tool.defer_loading or set(tool.allowed_callers or ()) - {"direct"}:
            raise _cannot(f"tools[{number}]", "a tool with `defer_loading` or `allowed_callers`")
        if tool.is_async:
            raise _cannot(f"tools[{number}].async", "a tool whose results come later")
        tools.append(Tool(tool.name, tool.description, tool.parameters, tool.strict))
    return tools


def _read_choice(fields: Fields) -> ToolChoice | None:
    choice = optional(fields, "tool_choice", _choice, "auto, none, required or an object that names a tool")
    if choice is None:
        return None
    if isinstance(choice, _Choice):
        if choice.type != "function" or choice.name is None:
            raise _cannot("tool_choice", f"a choice of the type {choice.type!r}")
        return ToolChoice("named", choice.name)
    kinds: dict[str, ToolChoice] = {
        "auto": ToolChoice("auto"),
        "none": ToolChoice("none"),
        "required": ToolChoice("any"),
    }
    if choice not in kinds:
        raise BadRequest("`tool_choice` must be auto, none, required or an object.", param="tool_choice")
    return kinds[choice]


def _read_format(told: _Format | None) -> Format | None:
    if told is None or told.type == "text":
        return None
    if told.type == "json_object":
        return Format()
    if told.type != "json_schema":
        raise _cannot("text", f"a format of the type {told.type!r}")
    return Format(told.schema or {}, told.name, told.description, told.strict)


def _cannot(place: str, what: str) -> CannotCarry:
    return CannotCarry(
        f"`{place}`: {what} cannot be translated for this model.", param=place.partition("[")[0]
    )
