"""The surface `/v1/messages`: known fields are read, everything else travels as it came."""

import re
import time
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from tristar.errors import CannotCarry
from tristar.providers.anthropic.answering import write_answer
from tristar.providers.anthropic.asked import end_user, read_conversation
from tristar.providers.anthropic.errors import ANTHROPIC_ERRORS, FORMAT
from tristar.providers.anthropic.telling import EventWriter
from tristar.providers.dialect import Dialect, Outgoing, write_named
from tristar.providers.fields import (
    NULL,
    UNREADABLE,
    Fields,
    encode,
    is_absent,
    raw,
    read_fallbacks,
    read_fields,
    read_limit,
    read_messages,
    read_model,
    read_object,
    read_stream,
    with_one_more,
)
from tristar.providers.neutral import Completion, Conversation, Usage
from tristar.providers.seal import OURS
from tristar.providers.surface import BYTES_PER_TOKEN, MemoryAsk, StreamWriter, Surface, read_memory

PATH = "/messages"
COUNT_PATH = "/messages/count_tokens"


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Turn(msgspec.Struct):
    role: str = ""
    content: str | list[_Block] | None = None


class _Thought(msgspec.Struct):
    type: str = ""
    signature: str | None = None

    @property
    def is_foreign(self) -> bool:
        return self.type == "thinking" and (not self.signature or self.signature.startswith(OURS))


class _Thoughts(msgspec.Struct):
    content: list[_Thought]


_UNSIGNED = re.compile(rb'"signature"\s*:\s*"(?:"|%b)' % OURS.encode())
"""How thoughts of other providers' models look, that a client sends back: Anthropic would refuse them."""

_foreign = msgspec.json.Decoder(_Thoughts)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_system = msgspec.json.Decoder(str | list[msgspec.Raw] | None)
_turn = msgspec.json.Decoder(_Turn)


_NAMES = {
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "response_format": "output_config.format",
}
"""What a chat's fields are called here."""


@dataclass(slots=True)
class MessagesCall:
    """One messages request: what the gateway acts upon, and all fields as they came. See `Talk`."""

    route: ClassVar[str] = "messages"
    model: str
    stream: bool
    fallbacks: tuple[str, ...] | None
    fields: Fields
    memory: MemoryAsk | None = None
    surface: Surface = ANTHROPIC_ERRORS
    _conversation: Conversation | None = None

    @property
    def prompt(self) -> bytes:
        """The messages' bytes, with the system prompt before them, for fingerprint and estimate."""
        return _prompt(self.fields)

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`: `metadata.user_id`."""
        return end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if the client does not say, or says nonsense."""
        return read_limit(self.fields, "max_tokens")

    def question(self) -> str:
        """See `Talk.question`."""
        for message in reversed(_raws.decode(self.fields["messages"])):
            try:
                turn = _turn.decode(message)
            except UNREADABLE:
                continue  # the upstream's to refuse
            if turn.role != "user":
                continue
            if isinstance(turn.content, list):
                return "\n".join(block.text for block in turn.content if block.text)
            return turn.content or ""
        return ""

    def add_note(self, note: str) -> None:
        """See `Talk.add_note`: behind the system prompt."""
        try:
            told = _system.decode(self.fields.get("system", NULL))
        except UNREADABLE:
            return  # the upstream's to refuse
        blocks: list[object] = list(told) if isinstance(told, list) else []
        if isinstance(told, str) and told:
            blocks.append({"type": "text", "text": told})
        blocks.append({"type": "text", "text": note})
        self.fields["system"] = raw(blocks)
        self._conversation = None

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """See `Call.sent_to`; as it came but for the model's name where the dialect is Anthropic's."""
        if dialect.name != FORMAT:
            return write_named(dialect, self._read(), model, prefill, _NAMES)
        return Outgoing(PATH, _as_it_came(self.fields, model, prefill))

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`."""
        return dialect.read_completion(body)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`."""
        if dialect.name == FORMAT:
            return body
        return write_answer(dialect.read_answer(body), _new_id(), counted)

    def passes(self, dialect: Dialect) -> bool:
        """See `Call.passes`."""
        return dialect.name == FORMAT

    def writer(self) -> StreamWriter:
        """See `Call.writer`."""
        return EventWriter(_new_id())

    def _read(self) -> Conversation:
        if self._conversation is None:
            self._conversation = read_conversation(self.fields, stream=self.stream)
        return self._conversation


@dataclass(slots=True)
class CountCall:
    """One request to count the tokens of a messages request. Nothing is written, and nothing is paid."""

    route: ClassVar[str] = "count_tokens"
    model: str
    fields: Fields
    stream: bool = False
    fallbacks: tuple[str, ...] | None = ()
    surface: Surface = ANTHROPIC_ERRORS

    @property
    def prompt(self) -> bytes:
        """What is to be counted."""
        return _prompt(self.fields)

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """Nothing is written."""
        return 0

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """See `Call.sent_to`; there is nothing to prefill."""
        del prefill
        if not self.passes(dialect):
            raise CannotCarry("This model's provider does not count tokens.", param="model")
        return Outgoing(COUNT_PATH, _as_it_came(self.fields, model, ""))

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`: to count costs no tokens."""
        told = dialect.read_completion(body)
        return Completion(told.model, None, Usage(), 0)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`: as it came."""
        del dialect, counted
        return body

    def passes(self, dialect: Dialect) -> bool:
        """See `Call.passes`."""
        return dialect.name == FORMAT

    def writer(self) -> StreamWriter:
        """See `Call.writer`; never asked for."""
        return EventWriter("")

    def estimate(self) -> bytes:
        """An answer where nobody counts: a token for so many bytes of messages, system prompt and tools."""
        size = len(self.prompt) + len(bytes(self.fields.get("tools", b"")))
        return encode({"input_tokens": -(-size // BYTES_PER_TOKEN)})


def parse_messages(body: bytes) -> MessagesCall:
    """Read a messages request.

    Raises:
        BadRequest: it is not JSON, or a field that the gateway reads has the wrong type.
    """
    fields = read_object(body)
    model = read_model(fields)
    read_messages(fields)
    return MessagesCall(model, read_stream(fields), read_fallbacks(fields), fields, read_memory(fields))


def parse_count(body: bytes) -> CountCall:
    """Read a request to count tokens; errors as `parse_messages`."""
    fields = read_object(body)
    model = read_model(fields)
    read_messages(fields)
    return CountCall(model, fields)


def _prompt(fields: Fields) -> bytes:
    messages = bytes(fields["messages"])
    system = fields.get("system")
    if system is None or is_absent(system):
        return messages
    rest = messages.lstrip()[1:]
    comma = b"" if rest.lstrip()[:1] == b"]" else b","
    return b'[{"role":"system","content":' + bytes(system) + b"}" + comma + rest


def _as_it_came(fields: Fields, model: str, prefill: str) -> bytes:
    fields.pop("fallbacks", None)
    fields.pop("memory", None)
    fields["model"] = raw(model)
    messages = bytes(fields["messages"])
    if _UNSIGNED.search(messages) is not None:
        fields = fields | {"messages": _without_foreign_thoughts(messages)}
    if prefill:
        told = with_one_more(bytes(fields["messages"]), {"role": "assistant", "content": prefill})
        fields = fields | {"messages": told}
    return encode(fields)


def _without_foreign_thoughts(messages: bytes) -> msgspec.Raw:
    kept: list[object] = []
    for message in _raws.decode(messages):
        try:
            told = _foreign.decode(message)
        except UNREADABLE:
            kept.append(message)  # the upstream's to refuse
            continue
        fields = read_fields(message)
        given = _raws.decode(fields["content"])
        blocks = [block for block, each in zip(given, told.content, strict=True) if not each.is_foreign]
        if len(blocks) == len(told.content):
            kept.append(message)
        elif blocks:
            kept.append(fields | {"content": raw(blocks)})
    return raw(kept)


def _new_id() -> str:
    return f"msg_{time.time_ns():x}"
