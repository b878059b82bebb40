"""OpenAI's token counts and the neutral ones."""

import msgspec

from tristar.providers.neutral import Json, Usage, tokens


class Details(msgspec.Struct):
    """The parts of a token count; some providers send null for a part."""

    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None


class Counts(msgspec.Struct):
    """A `usage` object."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


def read_usage(counts: Counts | None) -> Usage | None:
    """The neutral counts; None where neither input nor output is told."""
    if counts is None:
        return None
    told_in, told_out, total = counts.prompt_tokens, counts.completion_tokens, counts.total_tokens
    if told_in is None and told_out is None:
        return None
    sent, written = tokens(told_in), tokens(told_out)
    read = write = thought = 0
    if counts.prompt_tokens_details is not None:
        read = tokens(counts.prompt_tokens_details.cached_tokens)
        write = tokens(counts.prompt_tokens_details.cache_creation_tokens)
    if counts.completion_tokens_details is not None:
        thought = tokens(counts.completion_tokens_details.reasoning_tokens)
    if total is not None and total != sent + written and told_in is not None and told_out is not None:
        # Some providers (xAI, Gemini) leave reasoning out of the completion's tokens, not out of the total.
        apart = tokens(total) - sent - written
        if apart > 0 and thought in {0, apart}:
            written += apart
            thought = apart
    return Usage(sent, written, read, write, thought)


def write_usage(usage: Usage) -> Json:
    """A `usage` object."""
    sent: Json = {"cached_tokens": usage.cache_read}
    if usage.cache_write:
        sent["cache_creation_tokens"] = usage.cache_write
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": sent,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
