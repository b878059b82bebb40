"""The items of a response's output, and the response around them."""

from dataclasses import dataclass, field
from typing import Literal

from tristar.providers.neutral import Finish, Json, Usage
from tristar.providers.responses.usage import write_usage

SIGNED = "tristar-signed:"
REDACTED = "tristar-redacted:"
"""What stands before a provider's own signature in `encrypted_content`: so it finds back to its kind."""

Kind = Literal["message", "function_call", "reasoning"]


@dataclass(slots=True)
class Item:
    """One item of the output. Of a message `text` or `refusal` is its one part."""

    kind: Kind
    id: str
    text: str = ""
    refusal: str = ""
    call_id: str = ""
    name: str = ""
    encrypted: str | None = None

    def shown(self, *, done: bool) -> Json:
        """As the API shows it, begun or done."""
        status = "completed" if done else "in_progress"
        told: Json = {"id": self.id, "type": self.kind}
        if self.kind == "message":
            return told | {"status": status, "role": "assistant", "content": [self.part()] if done else []}
        if self.kind == "function_call":
            called = {"call_id": self.call_id, "name": self.name, "arguments": self.text}
            return told | {"status": status, **called}
        told["summary"] = [{"type": "summary_text", "text": self.text}] if self.text and done else []
        return told if self.encrypted is None else told | {"encrypted_content": self.encrypted}

    def part(self) -> Json:
        """The part of a message."""
        if self.refusal:
            return {"type": "refusal", "refusal": self.refusal}
        return text_part(self.text)


def text_part(text: str) -> Json:
    """A part of a message that is text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


@dataclass(slots=True)
class Frame:
    """What stands around the output: what was asked for, under one id. Times in seconds since 1970."""

    response_id: str
    created_at: int
    asked: Json
    model: str = ""
    items: list[Item] = field(default_factory=list)

    def item_id(self, kind: Kind) -> str:
        """An id for the next item."""
        prefix = {"message": "msg", "function_call": "fc", "reasoning": "rs"}[kind]
        return f"{prefix}_{self.response_id.removeprefix('resp_')}_{len(self.items)}"

    def begun(self) -> Json:
        """The response as a stream announces it."""
        return self._shown("in_progress", [], None, None)

    def ended(self, finish: Finish | None, usage: Usage) -> Json:
        """The whole response."""
        reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish or "")
        if reason == "content_filter" and any(item.refusal for item in self.items):
            reason = None  # a refusal is a whole answer here
        output = [item.shown(done=True) for item in self.items]
        return self._shown("incomplete" if reason else "completed", output, reason, usage)

    def _shown(self, status: str, output: list[Json], reason: str | None, usage: Usage | None) -> Json:
        told: Json = {
            "id": self.response_id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self.model,
            "output": output,
            **self.asked,
        }
        return told if usage is None else told | {"usage": write_usage(usage)}
