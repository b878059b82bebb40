"""The neutral form, through which every surface speaks to every dialect.

A `Conversation` is what is asked, an `Answer` what comes back whole, a `Piece` what one event of
a stream adds. Tokens are counted one way: `input` is all that was sent, cached parts included;
`output` all that was written, reasoning included.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

Json = dict[str, object]
Finish = str
"""Why an answer ended, in OpenAI's words: stop, length, tool_calls, content_filter; others as they came."""


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Words. `cache` is a prompt cache mark, as Anthropic writes it."""

    text: str
    cache: Json | None = None


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A picture: base64 `data` of a `media_type`, or a `url`."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None
    cache: Json | None = None


class Document(msgspec.Struct, frozen=True, tag="document"):
    """A file to read: base64 `data` of a `media_type`, a `url`, or plain `text`."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    text: str | None = None
    name: str | None = None
    cache: Json | None = None


class Audio(msgspec.Struct, frozen=True, tag="audio"):
    """A recording, in base64."""

    data: str
    format: str


class ToolUse(msgspec.Struct, frozen=True, tag="tool_use"):
    """The model calls a tool; `arguments` is JSON text as the model wrote it."""

    call_id: str
    name: str
    arguments: str
    cache: Json | None = None
    signature: str | None = None
    """What the provider wants back with it, where it signs its thoughts at the call (Gemini)."""


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """What the call of that id gave."""

    call_id: str
    parts: list[Text | Image | Document]
    is_error: bool = False
    cache: Json | None = None


class Thinking(msgspec.Struct, frozen=True, tag="thinking"):
    """The model's thoughts, with the provider's signature; `redacted` thoughts are opaque."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


Part = Text | Image | Document | Audio | ToolUse | ToolResult | Thinking


class Turn(msgspec.Struct, frozen=True):
    """One turn. Tool results are parts of a `user` turn; `system` turns stand amid a conversation."""

    role: Literal["user", "assistant", "system"]
    parts: list[Part]


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    cache: Json | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether the model calls tools: as it likes, none, at least one, or the one of that name."""

    kind: Literal["auto", "none", "any", "named"]
    name: str | None = None


class Format(msgspec.Struct, frozen=True):
    """The shape that the answer's text must have; without a schema any JSON object."""

    schema: Json | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much the model shall think: off, or on with an effort, a budget, or as it likes."""

    enabled: bool = True
    effort: str | None = None
    """minimal, low, medium, high, xhigh, max."""
    budget_tokens: int | None = None


class Conversation(msgspec.Struct, kw_only=True):
    """What is asked of an llm. Lists that are empty and values that are None were not given."""

    system: list[Text] = []
    turns: list[Turn] = []
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: list[str] = []
    format: Format | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    stream: bool = False
    only_here: list[str] = []
    """Fields that the surface's own API knows and no other can carry; asked for, so they must not be lost."""
    openai: Json = {}
    """What OpenAI's APIs alone know, on either of them, under the names that it has on chats."""
    unknown: dict[str, msgspec.Raw] = {}
    """Fields that the surface does not know: they travel on under their own names."""


MOST_TOKENS = 10**12
"""No call has more: a provider that says so is not believed, and no counter of ours runs over."""


def tokens(told: int | None) -> int:
    """A provider's count, within reason."""
    if told is None or told <= 0:
        return 0
    return told if told <= MOST_TOKENS else MOST_TOKENS  # noqa: FURB136 - half the cost of min()


class Usage(msgspec.Struct, frozen=True):
    """What was used, as the provider counts it: cached tokens in the input, reasoning in the output."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.reasoning + other.reasoning,
        )


class Answer(msgspec.Struct):
    """A whole answer: one message."""

    parts: list[Part]
    finish: Finish | None = None
    stop_sequence: str | None = None
    refusal: str | None = None
    model: str | None = None
    answer_id: str | None = None
    usage: Usage | None = None


class Completion(msgspec.Struct, frozen=True):
    """What a whole answer says of itself; `usage` is None where the provider does not tell."""

    model: str | None = None
    finish_reason: Finish | None = None
    usage: Usage | None = None
    output_bytes: int = 0


class CallPiece(msgspec.Struct):
    """A part of a tool call in a stream: `call_id` and `name` come with its first piece."""

    index: int = 0
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None


class Piece(msgspec.Struct):
    """What one event of a stream adds. Parts of one piece come in the order thinking, text, calls.

    `is_output` says that it holds something of the answer (a first token, say); `opaque` that there is
    output in it which only the dialect itself can show: it is lost to every other surface.
    """

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    model: str | None = None
    is_output: bool = False
    done: bool = False
    error: bytes | None = None
    thinking: str = ""
    signature: str = ""
    redacted: str = ""
    refusal: str = ""
    calls: Sequence[CallPiece] = ()
    stop_sequence: str | None = None
    opaque: bool = False
    begins: bool = False
    """Whether it is the announcement of a message, in dialects that have one."""
    opens: int | None = None
    """The index of a content block that begins, in dialects that number them."""
    closes: int | None = None
    """The index of a content block that ends."""
    within: int | None = None
    """The index of the content block that this adds to."""
    named: str | None = None
    """The id of the message or block that begins, in dialects that name them."""
    kind: str | None = None
    """The kind of the block that begins, in the dialect's own word, where others need to know."""

    def is_plain(self) -> bool:
        """Whether its output, if any, is text that another llm could carry on."""
        return not (
            self.opaque or self.calls or self.thinking or self.refusal or self.signature or self.redacted
        )

    def chars(self) -> int:
        """The characters of output in it, for estimates."""
        chars = len(self.text) + len(self.thinking) + len(self.refusal)
        for call in self.calls:
            chars += len(call.arguments) + len(call.name or "")
        return chars

    def is_mere_usage(self) -> bool:
        """Whether it tells what was used and nothing else."""
        return self.usage is not None and not self.is_output and self.finish is None
