"""OpenAI's surfaces and requests of its dialect, held against OpenAI's published description.

Run by `make check-published DATA=directory`.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.pairs.answers import ANSWERS, CASSETTES, DIALECTS
from tests.contract.pairs.questions import HI, QUESTIONS, Question
from tests.published.openai_schema import OpenAISchemas

from tristar.errors import AllTargetsOpen
from tristar.providers.anthropic.messages import parse_messages
from tristar.providers.dialects import DIALECTS as SPOKEN
from tristar.providers.neutral import Usage
from tristar.providers.openai.chat import parse_chat
from tristar.providers.openai.embeddings import parse_embedding
from tristar.providers.responses.call import parse_responses
from tristar.providers.responses.errors import RESPONSES_ERRORS
from tristar.providers.surface import Call

COUNTED = Usage(input=11, output=6)
ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": [HI]},
    "messages": {"messages": [HI], "max_tokens": 9},
    "responses": {"input": "hi", "instructions": "Be.", "tools": [{"type": "function", "name": "f"}]},
}
PARSE: dict[str, Callable[[bytes], Call]] = {
    "chat": parse_chat,
    "messages": parse_messages,
    "responses": parse_responses,
}
WHOLE = {"chat": "CreateChatCompletionResponse", "responses": "Response"}
EVENT = {"chat": "CreateChatCompletionStreamResponse", "responses": "ResponseStreamEvent"}
TRANSLATED = [
    (surface, dialect, name)
    for surface in WHOLE
    for dialect in DIALECTS
    for name in ANSWERS
    if (surface, dialect) != ("chat", "openai")  # as the upstream sent it
]


@pytest.fixture(scope="module")
def schemas() -> OpenAISchemas:
    """The description that PUBLISHED_DATA names."""
    return OpenAISchemas(Path(os.environ["PUBLISHED_DATA"]) / "openai-openapi.json")


def call(surface: str, **fields: object) -> Call:
    """A call of that surface."""
    body: dict[str, object] = {"model": "a", **ASKED[surface], **fields}
    return PARSE[surface](json.dumps(body).encode())


def written(asked: Call, dialect: str, name: str) -> Iterator[dict[str, Any]]:
    """The events of a recorded stream, as the surface writes them."""
    reader, writer = SPOKEN[dialect].reader(), asked.writer()
    text = b""
    for event in CASSETTES[dialect][name]["events"]:
        piece = reader.read(json.dumps(event).encode())
        text += b"" if piece.done else writer.write(piece)
    text += writer.end(COUNTED)
    for line in text.splitlines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            yield json.loads(line[6:])


@pytest.mark.parametrize(("surface", "dialect", "name"), TRANSLATED)
def test_a_translated_answer_is_one_of_openais(
    schemas: OpenAISchemas, surface: str, dialect: str, name: str
) -> None:
    """Whole, from every dialect."""
    recorded = json.dumps(CASSETTES[dialect][name]["whole"]).encode()
    told = json.loads(call(surface).told(SPOKEN[dialect], recorded, COUNTED))

    assert schemas.faults(WHOLE[surface], told) == []


@pytest.mark.parametrize(("surface", "dialect", "name"), TRANSLATED)
def test_a_translated_event_is_one_of_openais(
    schemas: OpenAISchemas, surface: str, dialect: str, name: str
) -> None:
    """Each event of the stream, from every dialect."""
    asked = call(surface, stream=True)
    events = list(written(asked, dialect, name))

    assert events
    assert [fault for event in events for fault in schemas.faults(EVENT[surface], event)] == []


@pytest.mark.parametrize(
    ("surface", "question"),
    [
        (surface, question)
        for question in QUESTIONS
        for surface in question.asked
        if surface != "chat" and not {(surface, "openai"), ("", "openai")} & question.refused.keys()
    ],
    ids=lambda value: value.name if isinstance(value, Question) else value,
)
def test_a_translated_request_is_one_of_openais(
    schemas: OpenAISchemas, surface: str, question: Question
) -> None:
    """What the other surfaces ask, as a chat."""
    fields = {**question.asked[surface], **question.asked[surface].get("extra_body", {})}
    fields.pop("extra_body", None)
    sent = call(surface, **fields).sent_to(SPOKEN["openai"], "gpt-5.1")

    assert schemas.faults("CreateChatCompletionRequest", json.loads(sent.body)) == []


@pytest.mark.parametrize("form", ["float", "base64"])
def test_translated_embeddings_are_openais(schemas: OpenAISchemas, form: str) -> None:
    """In the one form that the description knows, floats; base64 only where it is asked for."""
    body = {"model": "a", "input": ["x"], "encoding_format": form}
    told = json.loads(
        parse_embedding(json.dumps(body).encode()).told(
            SPOKEN["gemini"], b'{"embeddings":[{"values":[0.5,1]}]}', COUNTED
        )
    )
    if form == "base64":
        assert isinstance(told["data"][0]["embedding"], str)
        told["data"][0]["embedding"] = [0.5, 1.0]

    assert schemas.faults("CreateEmbeddingResponse", told) == []


def test_the_event_of_an_error_is_openais(schemas: OpenAISchemas) -> None:
    """As streams of responses end that did not end well."""
    event = RESPONSES_ERRORS.error_event(AllTargetsOpen("Later."), "req_1", 7)

    assert schemas.faults("ResponseErrorEvent", json.loads(event.partition(b"data: ")[2])) == []
