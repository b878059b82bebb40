"""What a closed exchange tells a tracing system: one span for the request, one for each attempt.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP servers and for
generative AI clients (opentelemetry.io/docs/specs/semconv: "HTTP spans", "Generative AI spans").
No prompt, no answer, no key and no address of a client is in any of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from tristar.exchange import Attempt, Exchange, Outcome

Value = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Value]
Kind = Literal["server", "client"]

OPERATIONS: Final = {"/v1/embeddings": "embeddings", "/v1/memory/embeddings": "embeddings"}
"""`gen_ai.operation.name` by route; every other llm route is a chat."""

PROVIDERS: Final = {"gemini": "gcp.gemini", "mistral": "mistral_ai", "xai": "x_ai"}
"""The conventions' names of the providers that we know by another; the others keep the configured one."""


class Story(msgspec.Struct, frozen=True):
    """What a span needs of an exchange; prompts and answers are let go."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    parent_sampled: bool
    method: str
    endpoint: str
    resource: str
    status: int
    outcome: Outcome
    started_at: float
    """Seconds since the epoch."""
    duration_s: float
    request_id: str
    llm_id: str | None
    model_asked: str | None
    streamed: bool
    attempts: Sequence[Attempt]


@dataclass(frozen=True, slots=True)
class Span:
    """One span, its ids apart. Times in nanoseconds since the epoch; `problem` is set for an error."""

    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    attributes: Attributes
    problem: str | None = None


def story_of(exchange: Exchange) -> Story:
    """The story of a closed exchange."""
    return Story(
        exchange.trace_id,
        exchange.span_id,
        exchange.parent_span_id,
        exchange.trace_flags.endswith(("1", "3", "5", "7", "9", "b", "d", "f")),
        exchange.method,
        exchange.endpoint,
        exchange.resource,
        exchange.status,
        exchange.outcome,
        exchange.started_at,
        exchange.duration_s,
        exchange.request_id,
        exchange.llm_id,
        exchange.model_asked,
        exchange.streamed,
        exchange.attempts,
    )


def request_span(story: Story) -> Span:
    """The span of the request itself."""
    attributes: dict[str, Value] = {
        "http.request.method": story.method,
        "http.route": story.endpoint,
        "http.response.status_code": story.status,
        "url.path": story.resource,
        "url.scheme": "http",
        "tristar.request_id": story.request_id,
        "tristar.outcome": story.outcome,
        "tristar.attempts": len(story.attempts),
    }
    if story.llm_id is not None:
        attributes["tristar.llm_id"] = story.llm_id
    if story.model_asked is not None:
        attributes["tristar.model_asked"] = story.model_asked
    problem = str(story.status) if story.status >= 500 else None
    if problem is not None:
        attributes["error.type"] = problem
    start_ns = _ns(story.started_at)
    end_ns = start_ns + _ns(story.duration_s)
    return Span(f"{story.method} {story.endpoint}", "server", start_ns, end_ns, attributes, problem)


def attempt_spans(story: Story) -> Iterator[Span]:
    """The span of each attempt, in order."""
    operation = OPERATIONS.get(story.endpoint, "chat")
    for attempt in story.attempts:
        start_ns = _ns(story.started_at + attempt.started_s)
        attributes = dict(_of_attempt(operation, attempt, streamed=story.streamed))
        if attempt.error_type is not None:
            attributes["error.type"] = attempt.error_type
        failed = None if attempt.status == "success" else attempt.error_type or attempt.status
        name = f"{operation} {attempt.model}"
        yield Span(name, "client", start_ns, start_ns + _ns(attempt.duration_s), attributes, failed)


def _of_attempt(operation: str, attempt: Attempt, *, streamed: bool) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.operation.name", operation
    yield "gen_ai.provider.name", PROVIDERS.get(attempt.provider, attempt.provider)
    yield "gen_ai.request.model", attempt.model
    yield "tristar.llm_id", attempt.llm_id
    if streamed:
        yield "gen_ai.request.stream", True
        if attempt.first_token_s is not None:
            yield "gen_ai.response.time_to_first_chunk", attempt.first_token_s
    if attempt.model_answered is not None:
        yield "gen_ai.response.model", attempt.model_answered
    if attempt.finish_reason is not None:
        yield "gen_ai.response.finish_reasons", (attempt.finish_reason,)
    if attempt.http_status is not None:
        yield "http.response.status_code", attempt.http_status
    if attempt.reason is not None:
        yield "tristar.reason", attempt.reason
    if attempt.tokens_source != "none":
        yield from _tokens(attempt)


def _tokens(attempt: Attempt) -> Iterator[tuple[str, Value]]:
    yield "gen_ai.usage.input_tokens", attempt.tokens_input
    yield "gen_ai.usage.output_tokens", attempt.tokens_output
    yield "tristar.tokens_source", attempt.tokens_source
    if attempt.tokens_cache_read:
        yield "gen_ai.usage.cache_read.input_tokens", attempt.tokens_cache_read
    if attempt.tokens_cache_write:
        yield "gen_ai.usage.cache_creation.input_tokens", attempt.tokens_cache_write
    if attempt.tokens_reasoning:
        yield "gen_ai.usage.reasoning.output_tokens", attempt.tokens_reasoning


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
