"""Google's token counts, read; its candidates leave the thoughts out."""

import msgspec

from tristar.providers.neutral import Usage, tokens


class Counts(msgspec.Struct, rename="camel"):
    """A `usageMetadata` object; in a stream each replaces the one before."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None


def read_usage(counts: Counts | None) -> Usage | None:
    """The neutral counts; None where the prompt's are not told."""
    if counts is None or counts.prompt_token_count is None:
        return None
    thought = tokens(counts.thoughts_token_count)
    return Usage(
        input=tokens(counts.prompt_token_count) + tokens(counts.tool_use_prompt_token_count),
        output=tokens(counts.candidates_token_count) + thought,
        cache_read=tokens(counts.cached_content_token_count),
        reasoning=thought,
    )
