"""The surface `/v1/chat/completions`: known fields are read, everything else travels as it came."""

import time
from typing import ClassVar

import msgspec

from tristar.providers.dialect import Dialect, Outgoing
from tristar.providers.fields import (
    UNREADABLE,
    Fields,
    encode,
    optional,
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
from tristar.providers.openai.answering import write_answer
from tristar.providers.openai.asked import end_user, read_conversation
from tristar.providers.openai.errors import FORMAT, OPENAI_ERRORS
from tristar.providers.openai.streaming import ChunkWriter
from tristar.providers.surface import MemoryAsk, StreamWriter, Surface, read_memory

PATH = "/chat/completions"


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Turn(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


_options = msgspec.json.Decoder(_StreamOptions | None)
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)


class ChatCall(msgspec.Struct):
    """One chat request: the fields that the gateway acts upon, and all of them as they came. See `Talk`."""

    route: ClassVar[str] = "chat"
    model: str
    stream: bool
    wants_usage: bool
    fallbacks: tuple[str, ...] | None
    fields: Fields
    prompt: bytes
    """The messages' bytes, for fingerprint and estimate."""
    memory: MemoryAsk | None = None
    surface: Surface = OPENAI_ERRORS
    _rewritten: bool = False
    _conversation: Conversation | None = None

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return end_user(self.fields) if "user" in self.fields else None

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if the client does not say, or says nonsense."""
        return read_limit(self.fields, "max_completion_tokens", "max_tokens")

    def question(self) -> str:
        """See `Talk.question`."""
        for message in reversed(_messages.decode(self.prompt)):
            turn = _read_turn(message)
            if turn.role != "user":
                continue
            if isinstance(turn.content, list):
                return "\n".join(part.text for part in turn.content if part.text)
            return turn.content or ""
        return ""

    def add_note(self, note: str) -> None:
        """See `Talk.add_note`: behind the system messages that the conversation begins with."""
        messages = _messages.decode(self.prompt)
        at = 0
        while at < len(messages) and _read_turn(messages[at]).role in {"system", "developer"}:
            at += 1
        messages.insert(at, raw({"role": "system", "content": note}))
        told = self.fields["messages"] = raw(messages)
        self.prompt = bytes(told)
        self._conversation = None

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """See `Call.sent_to`; as it came but for the model's name where the dialect is OpenAI's."""
        if dialect.name != FORMAT:
            return dialect.write(self._read(), model, prefill)
        fields = self.fields
        fields["model"] = raw(model)
        if not self._rewritten:
            self._rewritten = True
            fields.pop("fallbacks", None)
            fields.pop("memory", None)
            if self.stream:
                fields["stream_options"] = _with_usage(fields.get("stream_options"))
        if prefill:
            told = with_one_more(self.prompt, {"role": "assistant", "content": prefill})
            fields = fields | {"messages": told}
        return Outgoing(PATH, encode(fields))

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`."""
        return dialect.read_completion(body)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`."""
        if dialect.name == FORMAT:
            return body
        return write_answer(dialect.read_answer(body), _new_id(), int(time.time()), counted)

    def passes(self, dialect: Dialect) -> bool:
        """See `Call.passes`."""
        return dialect.name == FORMAT

    def writer(self) -> StreamWriter:
        """See `Call.writer`."""
        return ChunkWriter(_new_id(), int(time.time()), wants_usage=self.wants_usage)

    def _read(self) -> Conversation:
        if self._conversation is None:
            self._conversation = read_conversation(self.fields, stream=self.stream)
        return self._conversation


def parse_chat(body: bytes) -> ChatCall:
    """Read a chat request.

    Raises:
        BadRequest: it is not JSON, or a field that the gateway reads has the wrong type.
    """
    fields = read_object(body)
    model = read_model(fields)
    prompt = read_messages(fields)
    stream = read_stream(fields)
    fallbacks = read_fallbacks(fields) if "fallbacks" in fields else None
    wants_usage = False
    if "stream_options" in fields:
        options = optional(fields, "stream_options", _options, "an object")
        wants_usage = bool(options and options.include_usage)
    memory = read_memory(fields) if "memory" in fields else None
    return ChatCall(model, stream, wants_usage, fallbacks, fields, prompt, memory)


def _new_id() -> str:
    return f"chatcmpl-{time.time_ns():x}"


def _read_turn(message: msgspec.Raw) -> _Turn:
    try:
        return _turn.decode(message)
    except UNREADABLE:
        return _Turn()  # the upstream's to refuse


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == b"null":
        return msgspec.Raw(b'{"include_usage":true}')
    merged = read_fields(options)
    merged["include_usage"] = msgspec.Raw(b"true")
    return raw(merged)
