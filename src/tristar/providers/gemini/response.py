"""`GenerateContentResponse`: a whole answer, and also one event of a stream."""

from collections.abc import Mapping
from typing import Final

import msgspec

from tristar.providers.fields import NULL, is_absent
from tristar.providers.gemini.usage import Counts
from tristar.providers.neutral import Finish

_FINISH: Final[Mapping[str, Finish]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
FAILED: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
        "NO_IMAGE",
        "IMAGE_OTHER",
        "OTHER",
    }
)
"""Ends that are no answer: the model lost its way, and another try may find it."""


class FunctionCall(msgspec.Struct):
    """The model calls a function; `args` come whole."""

    name: str = ""
    id: str | None = None
    args: msgspec.Raw = NULL

    @property
    def arguments(self) -> str:
        """JSON text."""
        return "{}" if is_absent(self.args) else bytes(self.args).decode()


class Part(msgspec.Struct, rename="camel"):
    """One part of a candidate: text, thoughts, a call, or what no other API shows."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL
    executable_code: msgspec.Raw = NULL
    code_execution_result: msgspec.Raw = NULL

    @property
    def is_opaque(self) -> bool:
        """Whether it holds output that only this API has a form for."""
        others = (self.inline_data, self.file_data, self.executable_code, self.code_execution_result)
        return any(not is_absent(other) for other in others)


class Content(msgspec.Struct):
    """The message of a candidate."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One answer to the prompt."""

    content: Content | None = None
    finish_reason: str | None = None

    @property
    def parts(self) -> list[Part]:
        """Its parts; a candidate that was filtered out has none."""
        return (self.content.parts or []) if self.content else []


class Feedback(msgspec.Struct, rename="camel"):
    """What was found about the prompt."""

    block_reason: str | None = None


class Response(msgspec.Struct, rename="camel"):
    """The known fields of a response; in a stream also of an error that takes its place."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Counts | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = NULL

    @property
    def candidate(self) -> Candidate | None:
        """The one candidate; more are never asked for."""
        return self.candidates[0] if self.candidates else None

    @property
    def blocked(self) -> str | None:
        """Why the prompt was not answered at all."""
        return self.prompt_feedback.block_reason if self.prompt_feedback else None


decoder = msgspec.json.Decoder(Response)


def read_finish(reason: str | None, *, calls: bool) -> Finish | None:
    """The neutral reason; words that are not known stay as they are."""
    if reason is None or reason == "FINISH_REASON_UNSPECIFIED":
        return None
    finish = _FINISH.get(reason, reason)
    return "tool_calls" if calls and finish == "stop" else finish


def refusal_of(blocked: str) -> str:
    """What a client is told of a prompt that was blocked."""
    return f"The provider blocked this prompt: {blocked}."


def call_id(response_id: str | None, number: int) -> str:
    """An id for a call that has none: unlike those of other answers, and the same at each reading."""
    return f"call_{response_id or 'x'}_{number}"
