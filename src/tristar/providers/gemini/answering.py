"""Google's whole answers, read."""

import msgspec

from tristar.providers.gemini.response import FAILED, Part, call_id, decoder, read_finish, refusal_of
from tristar.providers.gemini.usage import read_usage
from tristar.providers.neutral import Answer, Completion, Text, Thinking, ToolUse
from tristar.providers.neutral import Part as NeutralPart


def read_completion(body: bytes) -> Completion:
    """See `Dialect.read_completion`."""
    try:
        told = decoder.decode(body)
    except msgspec.ValidationError:
        return Completion(output_bytes=len(body))
    candidate = told.candidate
    parts = candidate.parts if candidate else []
    finish = None
    if candidate is not None:
        finish = read_finish(candidate.finish_reason, calls=_has_calls(parts))
    elif told.blocked:
        finish = "content_filter"
    size = sum(len((part.text or "").encode()) for part in parts)
    size += sum(len(part.function_call.arguments) for part in parts if part.function_call)
    return Completion(told.model_version, finish, read_usage(told.usage_metadata), size)


def read_answer(body: bytes) -> Answer:
    """See `Dialect.read_answer`."""
    told = decoder.decode(body)
    candidate, usage = told.candidate, read_usage(told.usage_metadata)
    if candidate is None:
        if not told.blocked:
            raise msgspec.ValidationError("neither a candidate nor a reason why there is none")
        return Answer(
            [], "content_filter", None, refusal_of(told.blocked), told.model_version, told.response_id, usage
        )
    if candidate.finish_reason in FAILED:
        raise msgspec.ValidationError(f"the model ended with {candidate.finish_reason}")
    parts: list[NeutralPart] = []
    for part in candidate.parts:
        _add(part, parts, told.response_id)
    return Answer(
        parts,
        finish=read_finish(candidate.finish_reason, calls=_has_calls(candidate.parts)),
        model=told.model_version,
        answer_id=told.response_id,
        usage=usage,
    )


def _add(part: Part, parts: list[NeutralPart], response_id: str | None) -> None:
    """One part more; texts in a row are one text, so that no surface shows seams that mean nothing."""
    if part.is_opaque:
        raise msgspec.ValidationError("a part that is neither text nor a function call")
    before = parts[-1] if parts else None
    if part.function_call is not None:
        call = part.function_call
        number = sum(isinstance(each, ToolUse) for each in parts)
        named = call.id or call_id(response_id, number)
        parts.append(ToolUse(named, call.name, call.arguments, signature=part.thought_signature))
    elif not part.text:
        return
    elif part.thought:
        if isinstance(before, Thinking):
            parts[-1] = Thinking(before.text + part.text)
        else:
            parts.append(Thinking(part.text))
    elif isinstance(before, Text):
        parts[-1] = Text(before.text + part.text)
    else:
        parts.append(Text(part.text))


def _has_calls(parts: list[Part]) -> bool:
    return any(part.function_call is not None for part in parts)
