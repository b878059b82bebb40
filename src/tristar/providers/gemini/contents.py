"""Neutral turns as Google's contents."""

import mimetypes
import re
from urllib.parse import urlsplit

import msgspec

from tristar.errors import CannotCarry
from tristar.providers.fields import UNREADABLE, read_fields
from tristar.providers.neutral import (
    Audio,
    Document,
    Image,
    Json,
    Part,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
)

SIGNS_CALLS = re.compile(r"(models/)?gemini-([3-9]|\d\d)")
"""Models that want the signature of their thoughts back with a call."""

UNSIGNED = "skip_thought_signature_validator"
"""What Google documents in place of a signature for a call that another model made."""


def write_contents(turns: list[Turn], model: str) -> list[Json]:
    """The messages, those in a row from one side as one; errors as `Dialect.write`."""
    writer = _Writer(signs=SIGNS_CALLS.match(model) is not None)
    for turn in turns:
        if turn.role != "system":
            writer.add(turn)
    return writer.contents


class _Writer:
    """Writes turn after turn; remembers which function each call was of."""

    def __init__(self, *, signs: bool) -> None:
        self.contents: list[Json] = []
        self._signs = signs
        self._names: dict[str, str] = {}

    def add(self, turn: Turn) -> None:
        role = "model" if turn.role == "assistant" else "user"
        parts: list[Json] = []
        shown: list[Json] = []
        for part in turn.parts:
            match part:
                case ToolUse():
                    self._names[part.call_id] = part.name
                    is_first = not any("functionCall" in each for each in parts)
                    parts.append(_call(part, unsigned=self._signs and is_first))
                case ToolResult():
                    parts.append(self._result(part))
                    shown += [_part(each) for each in part.parts if not isinstance(each, Text)]
                case Thinking():
                    pass  # earlier thoughts are not taken: what has to come back is in a call's signature
                case _:
                    parts.append(_part(part))
        self._append(role, parts + shown)

    def _append(self, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        last = self.contents[-1] if self.contents else None
        if last is not None and last["role"] == role:
            self.contents[-1] = {"role": role, "parts": [*last["parts"], *parts]}  # type: ignore[misc]  # a list, see below
        else:
            self.contents.append({"role": role, "parts": parts})

    def _result(self, result: ToolResult) -> Json:
        name = self._names.get(result.call_id)
        if name is None:
            raise CannotCarry(
                f"The tool result for {result.call_id[:100]!r} has no call before it: this model's provider "
                "wants its function named.",
                param="messages",
            )
        text = "".join(part.text for part in result.parts if isinstance(part, Text))
        told: Json = {"error": text} if result.is_error else _object(text)
        return {"functionResponse": {"id": result.call_id, "name": name, "response": told}}


def _call(call: ToolUse, *, unsigned: bool) -> Json:
    try:
        arguments = read_fields(msgspec.Raw((call.arguments or "{}").encode()))
    except UNREADABLE as error:
        raise CannotCarry(
            "The arguments of a tool call in `messages` are not a JSON object.", param="messages"
        ) from error
    told: Json = {"functionCall": {"id": call.call_id, "name": call.name, "args": arguments}}
    signature = call.signature or (UNSIGNED if unsigned else None)
    return told if signature is None else told | {"thoughtSignature": signature}


def _object(text: str) -> Json:
    """A result as the object that this API wants; one that is an object already stays as it is."""
    try:
        return dict(read_fields(msgspec.Raw(text.encode())))
    except UNREADABLE:
        return {"result": text}


def _part(part: Part) -> Json:
    match part:
        case Text(text=text) | Document(text=str(text)):
            return {"text": text}
        case Image(data=str(data)):
            return _inline(data, part.media_type or "image/jpeg")
        case Document(data=str(data)):
            return _inline(data, part.media_type or "application/pdf")
        case Image(url=str(url)):
            return _file(url, part.media_type, "image/jpeg")
        case Document(url=str(url)):
            return _file(url, part.media_type, "application/pdf")
        case Audio():
            return _inline(part.data, f"audio/{part.format}")
    raise CannotCarry(
        f"A {type(part).__name__.lower()} as it is in `messages` cannot be shown to this model's provider.",
        param="messages",
    )


def _inline(data: str, media_type: str) -> Json:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _file(url: str, media_type: str | None, usual: str) -> Json:
    """A file that Google fetches: its kind by its name, where nobody says."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise CannotCarry("An address in `messages` is not a URL.", param="messages") from error
    kind = media_type or mimetypes.guess_type(path)[0] or usual
    return {"fileData": {"mimeType": kind, "fileUri": url}}
