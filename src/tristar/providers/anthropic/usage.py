"""Anthropic's token counts and the neutral ones; its `input_tokens` leave cached ones out."""

import msgspec

from tristar.providers.neutral import Json, Usage, tokens


class Details(msgspec.Struct):
    """A part of `output_tokens`."""

    thinking_tokens: int | None = None


class Counts(msgspec.Struct):
    """A `usage` object; in a stream it comes in parts, the later ones replacing the earlier."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: Details | None = None

    def merged(self, later: "Counts") -> "Counts":
        """With what a later event says instead."""
        told = {name: value for name in self.__struct_fields__ if (value := getattr(later, name)) is not None}
        return msgspec.structs.replace(self, **told)


def read_usage(counts: Counts | None) -> Usage | None:
    """The neutral counts; None where neither input nor output is told."""
    if counts is None or (counts.input_tokens is None and counts.output_tokens is None):
        return None
    read = tokens(counts.cache_read_input_tokens)
    write = tokens(counts.cache_creation_input_tokens)
    sent = tokens(counts.input_tokens) + read + write
    details = counts.output_tokens_details
    thought = tokens(details.thinking_tokens) if details is not None else 0
    return Usage(sent, tokens(counts.output_tokens), read, write, thought)


def write_usage(usage: Usage) -> Json:
    """A `usage` object."""
    told: Json = {
        "input_tokens": max(0, usage.input - usage.cache_read - usage.cache_write),
        "output_tokens": usage.output,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
    }
    if usage.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return told
