"""OpenAI's whole answers, read and written."""

from typing import TypeGuard

import msgspec

from tristar.providers.dialect import Vectors
from tristar.providers.fields import NULL, encode
from tristar.providers.neutral import Answer, Completion, Json, Part, Text, Thinking, ToolUse, Usage
from tristar.providers.openai.content import Content, Extra, signature_of, text_of, thoughts_of
from tristar.providers.openai.usage import Counts, read_usage, write_usage


class _Content(msgspec.Struct):
    content: msgspec.Raw = NULL


class _Outline(msgspec.Struct):
    finish_reason: str | None = None
    message: _Content | None = None


class _Completion(msgspec.Struct):
    model: str | None = None
    choices: list[_Outline] | None = None
    usage: Counts | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None
    extra_content: Extra | None = None


class _Message(msgspec.Struct):
    content: Content = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    usage: Counts | None = None


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = 0


class _Embeddings(msgspec.Struct):
    data: list[_Vector]
    usage: Counts | None = None


_embeddings_decoder = msgspec.json.Decoder(_Embeddings)
_completion_decoder = msgspec.json.Decoder(_Completion)
_answer_decoder = msgspec.json.Decoder(_Answer)


def read_completion(body: bytes) -> Completion:
    """See `Dialect.read_completion`."""
    try:
        answer = _completion_decoder.decode(body)
    except msgspec.ValidationError:
        # Valid JSON of another shape: the client may know it, we only cannot read its usage.
        return Completion(output_bytes=len(body))
    choices = answer.choices or []
    finish = choices[0].finish_reason if choices else None
    output = sum([len(bytes(choice.message.content)) for choice in choices if choice.message])
    return Completion(answer.model, finish, read_usage(answer.usage), output)


def read_answer(body: bytes) -> Answer:
    """See `Dialect.read_answer`."""
    answer = _answer_decoder.decode(body)
    if len(answer.choices) != 1:
        raise msgspec.ValidationError("a single choice was expected")
    message = answer.choices[0].message
    parts: list[Part] = []
    thoughts = message.reasoning_content or message.reasoning or thoughts_of(message.content)
    said = text_of(message.content)
    if thoughts:
        parts.append(Thinking(thoughts))
    if said:
        parts.append(Text(said))
    parts += [
        ToolUse(
            call.id or f"call_{answer.id or 'x'}_{number}",  # some servers name none
            call.function.name,
            call.function.arguments or "",
            signature=signature_of(call.extra_content),
        )
        for number, call in enumerate(message.tool_calls or ())
    ]
    return Answer(
        parts,
        finish=answer.choices[0].finish_reason,
        refusal=message.refusal,
        model=answer.model,
        answer_id=answer.id,
        usage=read_usage(answer.usage),
    )


def write_answer(answer: Answer, answer_id: str, created: int, counted: Usage) -> bytes:
    """A chat completion."""
    message: Json = {
        "role": "assistant",
        "content": "".join(part.text for part in answer.parts if isinstance(part, Text)) or None,
        "refusal": answer.refusal,
    }
    thoughts = "".join(part.text for part in answer.parts if isinstance(part, Thinking))
    if thoughts:
        message["reasoning_content"] = thoughts
    signed = [write_thought(part) for part in answer.parts if _is_signed(part)]
    if signed:
        message["thinking_blocks"] = signed
    calls = [part for part in answer.parts if isinstance(part, ToolUse)]
    if calls:
        message["tool_calls"] = [write_call(call) | extra_of(call.signature) for call in calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    told = {"id": answer_id, "object": "chat.completion", "created": created, "model": answer.model}
    return encode({**told, "choices": [choice], "usage": write_usage(counted)})


def _is_signed(part: Part) -> TypeGuard[Thinking]:
    return isinstance(part, Thinking) and bool(part.signature or part.redacted)


def write_thought(thought: Thinking) -> Json:
    """One of a message's `thinking_blocks`: thoughts that their provider wants back as they are."""
    if thought.redacted is not None:
        return {"type": "redacted_thinking", "data": thought.redacted}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def extra_of(signature: str | None) -> Json:
    """Where a call keeps what Google wants back with it, as Google's own compatibility layer has it."""
    return {} if signature is None else {"extra_content": {"google": {"thought_signature": signature}}}


def read_vectors(body: bytes) -> Vectors:
    """See `Dialect.read_vectors`."""
    told = _embeddings_decoder.decode(body)
    in_order = sorted(told.data, key=lambda each: each.index)
    return Vectors([each.embedding for each in in_order], read_usage(told.usage))


def write_call(call: ToolUse) -> Json:
    """One of a message's `tool_calls`."""
    function: Json = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}
