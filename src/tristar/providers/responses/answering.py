"""Whole responses, read and written."""

import msgspec

from tristar.providers.fields import encode
from tristar.providers.neutral import Answer, Completion, Part, Text, Thinking, ToolUse, Usage
from tristar.providers.responses.output import REDACTED, SIGNED, Frame, Item
from tristar.providers.responses.streaming import Response
from tristar.providers.responses.usage import read_usage
from tristar.providers.seal import sealed

_decoder = msgspec.json.Decoder(Response)


def read_completion(body: bytes) -> Completion:
    """See `Dialect.read_completion`."""
    try:
        told = _decoder.decode(body)
    except msgspec.ValidationError:
        return Completion(output_bytes=len(body))
    if told.status == "failed":
        raise msgspec.DecodeError("the response failed")
    return Completion(told.model, told.finish, read_usage(told.usage), len(body))


def write_response(answer: Answer, frame: Frame, counted: Usage) -> bytes:
    """A whole response."""
    frame.model = answer.model or ""
    for part in sealed(answer.parts):
        frame.items.append(_item(part, frame))
    if answer.refusal:
        frame.items.append(Item("message", frame.item_id("message"), refusal=answer.refusal))
    return encode(frame.ended(answer.finish, counted))


def _item(part: Part, frame: Frame) -> Item:
    match part:
        case Text(text=text):
            return Item("message", frame.item_id("message"), text)
        case ToolUse():
            call = Item("function_call", frame.item_id("function_call"), part.arguments or "{}")
            call.call_id, call.name = part.call_id, part.name
            return call
        case Thinking():
            return Item("reasoning", frame.item_id("reasoning"), part.text, encrypted=kept(part))
    raise msgspec.ValidationError(f"{type(part).__name__} in an assistant's message")


def kept(thought: Thinking) -> str | None:
    """What a provider wants back with its thoughts, as `encrypted_content`."""
    if thought.redacted is not None:
        return REDACTED + thought.redacted
    return None if thought.signature is None else SIGNED + thought.signature
