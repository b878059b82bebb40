"""Every known provider of the dialect `openai` answers in a way of its own: all of them are read.

The answers are written after each provider's published description, with the fields that it adds.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tristar.providers.dialects import OPENAI
from tristar.providers.neutral import Part, Text, Thinking, Usage
from tristar.providers.registry import KNOWN

Json = dict[str, Any]
CASSETTES: dict[str, Json] = json.loads(
    (Path(__file__).parent / "cassettes/providers.json").read_text(encoding="utf-8")
)
every_provider = pytest.mark.parametrize("name", CASSETTES)


def wanted(name: str) -> tuple[str, str, Usage]:
    """Text, thoughts and tokens."""
    heard = CASSETTES[name]["heard"]
    sent, written, read, thought = heard["tokens"]
    return heard["text"], heard["thoughts"], Usage(sent, written, read, 0, thought)


def joined(parts: list[Part], kind: type[Text | Thinking]) -> str:
    """What the parts of this kind say."""
    return "".join(part.text for part in parts if isinstance(part, kind))


def test_every_provider_of_the_dialect_has_a_cassette() -> None:
    """A new row brings one."""
    assert {row.name for row in KNOWN if row.dialect == "openai"} == set(CASSETTES)


@every_provider
def test_a_whole_answer_is_read(name: str) -> None:
    """Text, thoughts and tokens, whatever stands beside them."""
    body = json.dumps(CASSETTES[name]["whole"]).encode()
    answer, completion = OPENAI.read_answer(body), OPENAI.read_completion(body)

    assert (joined(answer.parts, Text), joined(answer.parts, Thinking), answer.usage) == wanted(name)
    assert (completion.usage, completion.finish_reason) == (answer.usage, "stop")


@every_provider
def test_a_stream_is_read(name: str) -> None:
    """The same, event by event; the tokens are told once and the end is known."""
    reader = OPENAI.reader()
    pieces = [reader.read(json.dumps(event).encode()) for event in CASSETTES[name]["events"]]
    text = "".join(piece.text for piece in pieces)
    thoughts = "".join(piece.thinking for piece in pieces)
    usages = [piece.usage for piece in pieces if piece.usage is not None]

    assert (text, thoughts, usages[-1]) == wanted(name)
    assert len(usages) == 1
    assert reader.is_finished
    assert not any(piece.opaque for piece in pieces)
