"""The surface `/v1/responses`: known fields are read; to upstreams that have it, all travel as they came."""

import re
import secrets
import time
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from tristar.errors import BadRequest
from tristar.providers.dialect import Dialect, Outgoing, write_named
from tristar.providers.fields import (
    NULL,
    UNREADABLE,
    Fields,
    encode,
    is_absent,
    optional,
    raw,
    read_fallbacks,
    read_limit,
    read_model,
    read_object,
    read_stream,
)
from tristar.providers.neutral import Completion, Conversation, Json, Usage
from tristar.providers.responses.answering import write_response
from tristar.providers.responses.asked import end_user, read_conversation
from tristar.providers.responses.errors import FORMAT, RESPONSES_ERRORS
from tristar.providers.responses.output import Frame
from tristar.providers.responses.telling import ResponseWriter
from tristar.providers.seal import OURS
from tristar.providers.surface import MemoryAsk, StreamWriter, Surface, read_memory

PATH = "/responses"

_OURS = re.compile(rb'"encrypted_content"\s*:\s*"%b' % OURS.encode())
"""How thoughts look that were translated for the client: nobody else can decrypt them."""


class _Item(msgspec.Struct):
    encrypted_content: str | None = None


class _Said(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Said] | None = None


_input = msgspec.json.Decoder(str | list[_Message])
_items = msgspec.json.Decoder(list[msgspec.Raw])
_item = msgspec.json.Decoder(_Item)
_flag: "msgspec.json.Decoder[bool | None]" = msgspec.json.Decoder(bool | None)
_text: "msgspec.json.Decoder[str | None]" = msgspec.json.Decoder(str | None)
_anything = msgspec.json.Decoder()

_NAMES = {"messages": "input", "response_format": "text.format", "verbosity": "text.verbosity"}
"""What a chat's fields are called here."""

_TOLD: Json = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
}
"""What a response says of its request, where the request does not say it."""


@dataclass(slots=True)
class ResponsesCall:
    """One responses request: what the gateway acts upon, and all fields as they came. See `Talk`."""

    route: ClassVar[str] = FORMAT
    model: str
    stream: bool
    fallbacks: tuple[str, ...] | None
    fields: Fields
    memory: MemoryAsk | None = None
    surface: Surface = RESPONSES_ERRORS
    _conversation: Conversation | None = None

    @property
    def prompt(self) -> bytes:
        """The input as messages, with the instructions before it, for fingerprint and estimate."""
        given = bytes(self.fields["input"])
        if given[:1] == b'"':
            given = b'[{"role":"user","content":' + given + b"}]"
        told = self.fields.get("instructions")
        if told is None or is_absent(told):
            return given
        rest = given.lstrip()[1:]
        comma = b"" if rest.lstrip()[:1] == b"]" else b","
        return b'[{"role":"system","content":' + bytes(told) + b"}" + comma + rest

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if the client does not say, or says nonsense."""
        return read_limit(self.fields, "max_output_tokens")

    def question(self) -> str:
        """See `Talk.question`."""
        try:
            given = _input.decode(self.fields["input"])
        except UNREADABLE:
            return ""  # the upstream's to refuse
        if isinstance(given, str):
            return given
        for item in reversed(given):
            if item.type != "message" or item.role != "user":
                continue
            if isinstance(item.content, list):
                return "\n".join(part.text for part in item.content if part.text)
            return item.content or ""
        return ""

    def add_note(self, note: str) -> None:
        """See `Talk.add_note`: behind the instructions."""
        try:
            told = _text.decode(self.fields.get("instructions", NULL))
        except UNREADABLE:
            return  # the upstream's to refuse
        self.fields["instructions"] = raw(f"{told}\n\n{note}" if told else note)
        self._conversation = None

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """See `Call.sent_to`; as it came but for the model's name where the upstream has responses itself."""
        if not self.passes(dialect):
            return write_named(dialect, self._read(), model, prefill, _NAMES)
        self.fields.pop("fallbacks", None)
        self.fields.pop("memory", None)
        self.fields["model"] = raw(model)
        fields = self.fields
        given = bytes(fields["input"])
        if _OURS.search(given) is not None:
            given = _without_our_thoughts(given)
            fields = fields | {"input": msgspec.Raw(given)}
        if prefill:
            fields = fields | {"input": _with_answer(given, prefill)}
        return Outgoing(PATH, encode(fields))

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`."""
        return dialect.read_completion(body)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`."""
        if self.passes(dialect):
            return body
        return write_response(dialect.read_answer(body), self._frame(), counted)

    def passes(self, dialect: Dialect) -> bool:
        """See `Call.passes`."""
        return dialect.name == FORMAT

    def writer(self) -> StreamWriter:
        """See `Call.writer`."""
        return ResponseWriter(self._frame())

    def _read(self) -> Conversation:
        if self._conversation is None:
            self._conversation = read_conversation(self.fields, stream=self.stream)
        return self._conversation

    def _frame(self) -> Frame:
        asked: Json = {name: self._shown(name, usual) for name, usual in _TOLD.items()}
        asked["store"] = False
        for name in ("user", "safety_identifier", "prompt_cache_key", "service_tier"):
            value = self.fields.get(name)
            if value is not None and not is_absent(value):
                asked[name] = value
        return Frame(f"resp_{secrets.token_hex(16)}", int(time.time()), asked)

    def _shown(self, name: str, usual: object) -> object:
        value = self.fields.get(name)
        if value is None or is_absent(value):
            return usual
        if name == "tools":
            return [_shown_tool(tool) for tool in _anything.decode(value)]
        if isinstance(usual, dict):
            return usual | _anything.decode(value)
        return value


def _with_answer(given: bytes, prefill: str) -> msgspec.Raw:
    """The input with the beginning of its answer behind it."""
    if given[:1] == b'"':
        items = [raw({"role": "user", "content": msgspec.Raw(given)})]
    else:
        items = _items.decode(given)
    return raw([*items, {"role": "assistant", "content": prefill}])


def _without_our_thoughts(given: bytes) -> bytes:
    return encode([item for item in _items.decode(given) if not _is_ours(item)])


def _is_ours(item: msgspec.Raw) -> bool:
    try:
        return (_item.decode(item).encrypted_content or "").startswith(OURS)
    except UNREADABLE:
        return False  # the upstream's to refuse


def _shown_tool(tool: Json) -> Json:
    """A function as a response shows it: with every field that the API demands there."""
    return {"parameters": None, "strict": None, **tool}


def parse_responses(body: bytes) -> ResponsesCall:
    """Read a responses request.

    Raises:
        BadRequest: it is not JSON, a field that the gateway reads has the wrong type, or it asks for an
            answer in the background, which nobody could fetch here.
    """
    fields = read_object(body)
    model = read_model(fields)
    given = fields.get("input")
    if given is None or bytes(given)[:1] not in {b'"', b"["}:
        raise BadRequest("`input` must be a string, or an array of items.", param="input")
    if optional(fields, "background", _flag, "true or false"):
        raise BadRequest(
            "`background`: this gateway keeps no responses, so nobody could fetch this one.",
            param="background",
        )
    return ResponsesCall(model, read_stream(fields), read_fallbacks(fields), fields, read_memory(fields))
