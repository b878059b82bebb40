"""The token counts of a response and the neutral ones."""

import msgspec

from tristar.providers.neutral import Json, Usage, tokens


class _Sent(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Written(msgspec.Struct):
    reasoning_tokens: int | None = None


class Counts(msgspec.Struct):
    """A `usage` object."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Sent | None = None
    output_tokens_details: _Written | None = None


def read_usage(counts: Counts | None) -> Usage | None:
    """The neutral counts; None where neither input nor output is told."""
    if counts is None or (counts.input_tokens is None and counts.output_tokens is None):
        return None
    sent = counts.input_tokens_details or _Sent()
    written = counts.output_tokens_details or _Written()
    return Usage(
        input=tokens(counts.input_tokens),
        output=tokens(counts.output_tokens),
        cache_read=tokens(sent.cached_tokens),
        cache_write=tokens(sent.cache_write_tokens),
        reasoning=tokens(written.reasoning_tokens),
    )


def write_usage(usage: Usage) -> Json:
    """A `usage` object."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
