"""The OpenAI dialect: chat completions, whole and streamed.

Known fields are read, everything else travels as the bytes that came.
Source of the shapes: OpenAI's published API description, `CreateChatCompletionRequest`,
`CreateChatCompletionResponse` and `CreateChatCompletionStreamResponse`.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeVar

import msgspec

from tristar.errors import BadRequest
from tristar.exchange import END_USER_LIMIT

DONE = b"data: [DONE]\n\n"
BYTES_PER_TOKEN = 4
"""For estimates, where nobody counts."""

_Fields = dict[str, msgspec.Raw]
_NULL = msgspec.Raw(b"null")
T = TypeVar("T")


class Details(msgspec.Struct):
    """The parts of a token count; some providers send null for a part."""

    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """What the provider says was used."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class _Message(msgspec.Struct):
    content: msgspec.Raw = _NULL


class _Choice(msgspec.Struct):
    finish_reason: str | None = None
    message: _Message | None = None


class _Completion(msgspec.Struct):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Usage | None = None


class Delta(msgspec.Struct):
    """What one chunk adds. A field that is absent or null adds nothing."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL

    def text(self) -> str:
        """The text that the chunk adds, of whichever kind."""
        return self.content or self.reasoning_content or self.reasoning or self.refusal or ""

    def has_output(self) -> bool:
        """Whether there is anything of the answer in it, a first token say."""
        if self.text():
            return True
        for raw in (self.tool_calls, self.function_call, self.audio):
            if raw is not _NULL and bytes(raw) not in {b"null", b"[]"}:
                return True
        return False


class StreamChoice(msgspec.Struct):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    """The known fields of one chunk of a stream."""

    model: str | None = None
    choices: list[StreamChoice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = _NULL

    @property
    def is_error(self) -> bool:
        """Whether it tells of a failure in place of output."""
        return self.error is not _NULL and bytes(self.error) != b"null"


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error | str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class MemoryAsk(msgspec.Struct, forbid_unknown_fields=True):
    """What of the shared memory shall go along: TriStar's own field `memory`, never sent upstream."""

    project: str | None = None
    type: Literal["fact", "decision", "code", "summary", "context", "todo"] | None = None
    tags: list[str] = []
    min_confidence: float | None = None
    limit: int = 5
    max_tokens: int = 1000


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Turn(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


_fields_decoder = msgspec.json.Decoder(_Fields)
_completion_decoder = msgspec.json.Decoder(_Completion)
chunk_decoder = msgspec.json.Decoder(Chunk)
_error_decoder = msgspec.json.Decoder(_ErrorBody)
_encoder = msgspec.json.Encoder()

_str = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_whole: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)
_names = msgspec.json.Decoder(list[str] | None)
_options = msgspec.json.Decoder(_StreamOptions | None)
_memory = msgspec.json.Decoder(MemoryAsk | None)
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_turn = msgspec.json.Decoder(_Turn)


class Call(Protocol):
    """One request to an llm, as it goes to whichever upstream."""

    path: ClassVar[str]
    """Behind the provider's base URL."""
    model: str
    stream: bool
    wants_usage: bool
    fallbacks: tuple[str, ...] | None

    @property
    def prompt(self) -> bytes:
        """What is asked, for fingerprint and estimate."""
        ...

    @property
    def end_user(self) -> str | None:
        """Whom the request is for, as the caller names them in `user`; None where it is no such name."""
        ...

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if that is not known."""
        ...

    def body_for(self, model: str, prefill: str = "") -> bytes:
        """The body that goes upstream, under the upstream's model name."""
        ...


@dataclass(slots=True)
class ChatCall:
    """One chat request: the fields that the gateway acts upon, and all of them as they came."""

    path: ClassVar[str] = "/chat/completions"
    model: str
    stream: bool
    wants_usage: bool
    fallbacks: tuple[str, ...] | None
    fields: _Fields
    memory: MemoryAsk | None = None
    _rewritten: bool = False

    @property
    def prompt(self) -> bytes:
        """The messages' bytes, for fingerprint and estimate."""
        return bytes(self.fields["messages"])

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return _end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if the client does not say, or says nonsense."""
        for name in ("max_completion_tokens", "max_tokens"):
            try:
                limit = _whole.decode(self.fields.get(name, _NULL))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # the upstream's to refuse
            if limit is not None:
                return max(0, limit)
        return None

    def question(self) -> str:
        """The text of the last message of the user; empty if there is none that can be read."""
        for raw in reversed(_messages.decode(self.prompt)):
            turn = _read_turn(raw)
            if turn.role != "user":
                continue
            if isinstance(turn.content, list):
                return "\n".join(part.text for part in turn.content if part.text)
            return turn.content or ""
        return ""

    def add_note(self, note: str) -> None:
        """Put a system message behind those that the messages begin with."""
        messages = _messages.decode(self.prompt)
        at = 0
        while at < len(messages) and _read_turn(messages[at]).role in {"system", "developer"}:
            at += 1
        messages.insert(at, msgspec.Raw(_encoder.encode({"role": "system", "content": note})))
        self.fields["messages"] = msgspec.Raw(_encoder.encode(messages))

    def body_for(self, model: str, prefill: str = "") -> bytes:
        """The body that goes upstream: the upstream's model name, usage asked for in streams.

        `prefill` is the beginning of the answer: it goes along as a trailing assistant message.
        """
        fields = self.fields
        fields["model"] = msgspec.Raw(_encoder.encode(model))
        if not self._rewritten:
            self._rewritten = True
            fields.pop("fallbacks", None)
            fields.pop("memory", None)
            if self.stream:
                fields["stream_options"] = _with_usage(fields.get("stream_options"))
        if not prefill:
            return _encoder.encode(fields)
        told = _encoder.encode({"role": "assistant", "content": prefill})
        messages = self.prompt.rstrip()[:-1].rstrip()
        comma = b"" if messages == b"[" else b","
        return _encoder.encode(fields | {"messages": msgspec.Raw(messages + comma + told + b"]")})


@dataclass(slots=True)
class EmbeddingCall:
    """One request for embeddings. Its answer is never streamed and has no tokens of output."""

    path: ClassVar[str] = "/embeddings"
    model: str
    fallbacks: tuple[str, ...] | None
    fields: _Fields
    stream: bool = False
    wants_usage: bool = False

    @property
    def prompt(self) -> bytes:
        """The texts, as they came."""
        return bytes(self.fields["input"])

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return _end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """Nothing is written."""
        return 0

    def body_for(self, model: str, prefill: str = "") -> bytes:
        """See `Call.body_for`; there is nothing to prefill."""
        del prefill
        self.fields.pop("fallbacks", None)
        return _encoder.encode(self.fields | {"model": msgspec.Raw(_encoder.encode(model))})


def parse_embedding(body: bytes) -> EmbeddingCall:
    """Read a request for embeddings.

    Raises:
        BadRequest: it is not JSON, or a field that the gateway reads has the wrong type.
    """
    fields = _read_object(body)
    model = _read_model(fields)
    asked = fields.get("input")
    if asked is None or bytes(asked)[:1] not in {b'"', b"["}:
        raise BadRequest("`input` must be a string, or an array of strings or tokens.", param="input")
    fallbacks = _optional(fields, "fallbacks", _names, "an array of model names")
    return EmbeddingCall(model, None if fallbacks is None else tuple(fallbacks), fields)


def parse_chat(body: bytes) -> ChatCall:
    """Read a chat request.

    Raises:
        BadRequest: it is not JSON, or a field that the gateway reads has the wrong type.
    """
    fields = _read_object(body)
    model = _read_model(fields)
    messages = fields.get("messages")
    if messages is None or bytes(messages)[:1] != b"[":
        raise BadRequest("`messages` must be an array of message objects.", param="messages")
    stream = bool(_optional(fields, "stream", _flag, "true or false"))
    fallbacks = _optional(fields, "fallbacks", _names, "an array of model names")
    options = _optional(fields, "stream_options", _options, "an object")
    return ChatCall(
        model=model,
        stream=stream,
        wants_usage=bool(options and options.include_usage),
        fallbacks=None if fallbacks is None else tuple(fallbacks),
        fields=fields,
        memory=_optional(fields, "memory", _memory, "an object with project, type, tags, limit, …"),
    )


def _end_user(fields: _Fields) -> str | None:
    raw = fields.get("user")
    if raw is None:
        return None
    try:
        return _str.decode(raw)[:END_USER_LIMIT] or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # the upstream's to refuse


def _read_object(body: bytes) -> _Fields:
    try:
        return _fields_decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest("The request body must be a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The request body is not valid JSON: {str(error)[:200]}") from error


def _read_model(fields: _Fields) -> str:
    model = _required(fields, "model", _str, "a string naming a model; GET /v1/models lists them")
    if not model:
        raise BadRequest("`model` must be a string naming a model; GET /v1/models lists them.", param="model")
    return model


def _read_turn(raw: msgspec.Raw) -> _Turn:
    try:
        return _turn.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Turn()  # the upstream's to refuse


def _required(fields: _Fields, name: str, decoder: "msgspec.json.Decoder[T]", kind: str) -> T:
    value = _optional(fields, name, decoder, kind)
    if value is None:
        raise BadRequest(f"`{name}` is missing: it must be {kind}.", param=name)
    return value


def _optional(fields: _Fields, name: str, decoder: "msgspec.json.Decoder[T]", kind: str) -> T | None:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"`{name}` must be {kind}.", param=name) from error


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == b"null":
        return msgspec.Raw(b'{"include_usage":true}')
    merged = _fields_decoder.decode(options)
    merged["include_usage"] = msgspec.Raw(b"true")
    return msgspec.Raw(_encoder.encode(merged))


class Completion(msgspec.Struct, frozen=True):
    """What a whole answer says of itself."""

    model: str | None
    finish_reason: str | None
    usage: Usage | None
    output_bytes: int


def read_completion(body: bytes) -> Completion:
    """Read a whole answer.

    Raises:
        msgspec.DecodeError: it is not JSON.
    """
    try:
        answer = _completion_decoder.decode(body)
    except msgspec.ValidationError:
        # Valid JSON of another shape: the client may know it, we only cannot read its usage.
        return Completion(None, None, None, len(body))
    choices = answer.choices or []
    finish = choices[0].finish_reason if choices else None
    output = sum(len(bytes(choice.message.content)) for choice in choices if choice.message)
    return Completion(answer.model, finish, answer.usage, output)


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A provider's error body, as far as it follows the envelope."""

    message: str
    type: str
    code: str
    enveloped: bool


def read_error(body: bytes) -> ProviderError:
    """Read an error body of any shape; never raises."""
    try:
        parsed = _error_decoder.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError("", "", "", enveloped=False)
    if parsed is None:
        return ProviderError("", "", "", enveloped=False)
    if isinstance(parsed, str):
        return ProviderError(parsed, "", "", enveloped=False)
    return ProviderError(parsed.message or "", parsed.type or "", str(parsed.code or ""), enveloped=True)
