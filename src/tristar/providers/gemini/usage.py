"""Google's token counts, read; its candidates leave the thoughts out."""

import msgspec

from tristar.providers.neutral import Usage


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
    thought = max(0, counts.thoughts_token_count or 0)
    return Usage(
        input=max(0, counts.prompt_token_count) + max(0, counts.tool_use_prompt_token_count or 0),
        output=max(0, counts.candidates_token_count or 0) + thought,
        cache_read=max(0, counts.cached_content_token_count or 0),
        reasoning=thought,
    )
