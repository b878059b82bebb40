"""Anthropic's whole answers, read and written."""

import msgspec

from tristar.providers.anthropic.finish import read_finish, write_finish
from tristar.providers.anthropic.usage import Counts, read_usage, write_usage
from tristar.providers.fields import NULL, UNREADABLE, encode, read_fields
from tristar.providers.neutral import Answer, Completion, Json, Part, Text, Thinking, ToolUse, Usage
from tristar.providers.seal import sealed


class _Outline(msgspec.Struct):
    model: str | None = None
    content: msgspec.Raw = NULL
    stop_reason: str | None = None
    usage: Counts | None = None


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    thinking: str = ""
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block]
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Counts | None = None


_outline_decoder = msgspec.json.Decoder(_Outline)
_message_decoder = msgspec.json.Decoder(_Message)


def read_completion(body: bytes) -> Completion:
    """See `Dialect.read_completion`."""
    try:
        told = _outline_decoder.decode(body)
    except msgspec.ValidationError:
        # Valid JSON of another shape: the client may know it, we only cannot read its usage.
        return Completion(output_bytes=len(body))
    finish = read_finish(told.stop_reason)
    return Completion(told.model, finish, read_usage(told.usage), len(bytes(told.content)))


def read_answer(body: bytes) -> Answer:
    """See `Dialect.read_answer`."""
    message = _message_decoder.decode(body)
    return Answer(
        [_read_block(block) for block in message.content],
        finish=read_finish(message.stop_reason),
        stop_sequence=message.stop_sequence,
        model=message.model,
        answer_id=message.id,
        usage=read_usage(message.usage),
    )


def _read_block(block: _Block) -> Part:
    match block.type:
        case "text":
            return Text(block.text)
        case "tool_use":
            return ToolUse(block.id, block.name, bytes(block.input).decode())
        case "thinking":
            return Thinking(block.thinking, block.signature)
        case "redacted_thinking":
            return Thinking(redacted=block.data)
    raise msgspec.ValidationError(f"a content block of the type {block.type!r}")


def write_answer(answer: Answer, answer_id: str, counted: Usage) -> bytes:
    """A message.

    Raises:
        msgspec.DecodeError: the arguments of a tool call are no JSON object, and no limit has cut them.
    """
    parts = sealed(answer.parts)
    if answer.finish == "length":
        parts = [_without_cut_arguments(part) for part in parts]
    blocks = [write_block(part) for part in parts]
    if answer.refusal:
        blocks.append({"type": "text", "text": answer.refusal})
    reason = write_finish(
        answer.finish,
        stop_sequence=answer.stop_sequence,
        calls=any(isinstance(part, ToolUse) for part in answer.parts),
        refused=bool(answer.refusal),
    )
    return encode(
        {
            "id": answer_id,
            "type": "message",
            "role": "assistant",
            "model": answer.model or "",
            "content": blocks,
            "stop_reason": reason,
            "stop_sequence": answer.stop_sequence,
            "usage": write_usage(counted),
        }
    )


def _without_cut_arguments(part: Part) -> Part:
    """A call whose arguments the output's limit has cut has none that this API could show."""
    if isinstance(part, ToolUse):
        try:
            read_fields(msgspec.Raw(part.arguments.encode()))
        except UNREADABLE:
            return msgspec.structs.replace(part, arguments="")
    return part


def write_block(part: Part) -> Json:
    """One block of an assistant's message: text, a tool call or thoughts; errors as `write_answer`."""
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case ToolUse():
            arguments = read_fields(msgspec.Raw((part.arguments or "{}").encode()))
            return {"type": "tool_use", "id": part.call_id, "name": part.name, "input": arguments}
        case Thinking(redacted=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
    raise msgspec.ValidationError(f"{type(part).__name__} in an assistant's message")
