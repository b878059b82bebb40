"""Tokens of every kind are the same on every surface, whichever dialect the upstream speaks."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.test_mutations import SURFACES, requests
from tests.upstream import anthropic, gemini, payload

from tristar.providers.dialect import Dialect
from tristar.providers.dialects import DIALECTS
from tristar.providers.neutral import Usage
from tristar.relay.speech import RESPONSES

Json = dict[str, Any]

READERS: dict[str, Dialect] = {
    "chat": DIALECTS["openai"],
    "messages": DIALECTS["anthropic"],
    "responses": RESPONSES,
}
"""By surface, the dialect in which its answers are: what it told can be read back."""


def of_openai(used: Usage) -> Json:
    """A completion that used so much, as OpenAI counts."""
    parts = {
        "prompt_tokens_details": {
            "cached_tokens": used.cache_read,
            "cache_creation_tokens": used.cache_write,
        },
        "completion_tokens_details": {"reasoning_tokens": used.reasoning},
    }
    tokens = used.input, used.output
    return payload.completion(
        model="m", text="Hi.", tools=(), finish="stop", tokens=tokens, extra={}, usage_parts=parts
    )


def of_anthropic(used: Usage) -> Json:
    """A message that used so much: cached tokens are apart from the input."""
    parts: Json = {
        "cache_read_input_tokens": used.cache_read,
        "cache_creation_input_tokens": used.cache_write,
        "output_tokens_details": {"thinking_tokens": used.reasoning},
    }
    told = anthropic.usage((used.input - used.cache_read - used.cache_write, used.output), parts)
    text = [{"type": "text", "text": "Hi."}]
    return anthropic.message(model="m", blocks=text, finish="stop", usage=told, extra={})


def of_gemini(used: Usage) -> Json:
    """A response that used so much: thoughts are apart from the candidates; cache writes are not told."""
    parts = {"cachedContentTokenCount": used.cache_read, "thoughtsTokenCount": used.reasoning}
    told = gemini.usage((used.input, used.output - used.reasoning), parts)
    told["totalTokenCount"] = used.input + used.output
    return gemini.response(model="m", parts=[{"text": "Hi."}], finish="stop", usage=told, extra={})


MADE: dict[str, Callable[[Usage], Json]] = {
    "openai": of_openai,
    "anthropic": of_anthropic,
    "gemini": of_gemini,
}


@st.composite
def used(draw: st.DrawFn) -> Usage:
    """What a call may use: parts are within their sums."""
    read, write, thought = (draw(st.integers(0, 1000)) for _ in range(3))
    fresh, said = draw(st.integers(1, 1000)), draw(st.integers(1, 1000))
    return Usage(fresh + read + write, said + thought, read, write, thought)


@pytest.mark.parametrize("dialect", MADE)
@given(wanted=used())
def test_every_surface_tells_what_the_upstream_counted(dialect: str, wanted: Usage) -> None:
    """And what it tells, read as its own clients read it, is what the books have."""
    if dialect == "gemini":
        wanted = Usage(wanted.input, wanted.output, wanted.cache_read, 0, wanted.reasoning)
    body = json.dumps(MADE[dialect](wanted)).encode()
    for surface, parse in SURFACES.items():
        call = parse(json.dumps(requests(surface)[0]).encode())
        counted = call.read(DIALECTS[dialect], body).usage
        assert counted == wanted, surface
        told = call.told(DIALECTS[dialect], body, counted)
        assert READERS[surface].read_completion(told).usage == wanted, surface
