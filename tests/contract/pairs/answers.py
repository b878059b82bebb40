"""What upstreams answer, and what a client of any surface must understand of it.

The recorded answers are in `tests/providers/cassettes`, written from the providers' published API
references: the same answer once in each dialect, whole and as the events of a stream.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

DIALECTS = ("openai", "anthropic", "gemini")
SURFACES = ("chat", "messages", "responses")
NATIVE = "responses"
"""Providers that have responses themselves (`responses = true`): no dialect of its own, but a pair."""

PAIRS = [*((surface, dialect) for surface in SURFACES for dialect in DIALECTS), (NATIVE, NATIVE)]
"""Each surface with each dialect that it reaches."""

_FOLDER = Path(__file__).parents[2] / "providers/cassettes"
CASSETTES: dict[str, dict[str, Json]] = {
    name: json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in DIALECTS
}
ERRORS: dict[str, dict[str, tuple[int, Json]]] = json.loads(
    (_FOLDER / "errors.json").read_text(encoding="utf-8")
)
PLAYED: dict[str, dict[str, Json]] = {
    **CASSETTES,
    NATIVE: json.loads((_FOLDER / "responses.json").read_text(encoding="utf-8")),
}
PLAYED_ERRORS = {**ERRORS, NATIVE: ERRORS["openai"]}


@dataclass(frozen=True)
class Heard:
    """An answer as an SDK understood it, in one set of words for all of them.

    `finish` is OpenAI's; `calls` are names and arguments; `tokens` input, output, read from a cache, thought.
    """

    text: str
    thoughts: str
    calls: tuple[tuple[str, str], ...]
    finish: str
    tokens: tuple[int, int, int, int]


ANSWERS: dict[str, tuple[str, Heard]] = {
    "text": (
        "text, finish reason, tokens",
        Heard("Three stars guide one ship.", "", (), "stop", (11, 6, 0, 0)),
    ),
    "thoughts and cache": (
        "thoughts, tokens from a cache, tokens of thought",
        Heard("Three.", "Ships follow stars.", (), "stop", (2048, 42, 2000, 40)),
    ),
    "parallel calls": (
        "parallel tool calls, streamed arguments",
        Heard(
            "I look both up.",
            "",
            (("weather", '{"city":"Kiel","days":2}'), ("tide", "{}")),
            "tool_calls",
            (80, 20, 0, 0),
        ),
    ),
    "cut by the limit": ("an answer that its limit cuts", Heard("Three", "", (), "length", (11, 1, 0, 0))),
    "answer filtered": ("a filtered answer", Heard("", "", (), "content_filter", (11, 0, 0, 0))),
}
"""By the cassette's name: what it is called in the matrix, and what is heard."""

REFUSALS: dict[str, tuple[str, int, str]] = {
    "too long": ("a prompt that is too long", 400, "context_length"),
    "bad request": ("a field out of its range", 400, "bad_request"),
    "bad key": ("the operator's key refused", 502, "auth"),
    "no such model": ("a model that the provider does not have", 404, "bad_request"),
    "limited": ("the provider's rate limit", 429, "rate_limited"),
    "spent": ("the operator's credit spent", 429, "quota"),
    "ill": ("a fault of the provider", 500, "server_error"),
    "overloaded": ("an overloaded provider", 503, "server_error"),
}
"""By the error's name: what it is called, the status that the client gets and the attempt's error type."""
STATUSES = {("anthropic", "overloaded"): 529}
"""Where a dialect has a status of its own, it is handed on."""
