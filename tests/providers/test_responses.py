"""Responses in neutral words and back: what both sides can express is not lost."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.errors import BadRequest
from tristar.providers.dialects import DIALECTS
from tristar.providers.fields import encode
from tristar.providers.neutral import (
    Answer,
    CallPiece,
    Part,
    Piece,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Turn,
    Usage,
)
from tristar.providers.responses.answering import read_completion, write_response
from tristar.providers.responses.asked import read_conversation
from tristar.providers.responses.call import parse_responses
from tristar.providers.responses.output import Frame
from tristar.providers.responses.streaming import EventReader
from tristar.providers.responses.telling import ResponseWriter

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
PARTS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(
        ToolUse, st.uuids().map(str), st.just("weather"), st.dictionaries(WORDS, WORDS).map(json.dumps)
    ),
    st.builds(Thinking, WORDS, st.none() | WORDS),
    st.builds(lambda data: Thinking(redacted=data), WORDS),
)
USAGES = st.builds(Usage, *[st.integers(0, 10**6)] * 5)


def frame() -> Frame:
    """The frame of a response."""
    return Frame("resp_1", 0, {})


def asked_again(output: list[dict[str, Any]]) -> list[Turn]:
    """The turns of the next request, which begins with this output."""
    body = {"model": "a", "input": [*output, {"role": "user", "content": "on"}]}
    call = parse_responses(json.dumps(body).encode())
    return read_conversation(call.fields, stream=False).turns


@given(st.lists(PARTS, min_size=1, max_size=6), USAGES)
def test_what_a_response_holds_comes_back_with_the_next_request(parts: list[Part], usage: Usage) -> None:
    """Text, calls, thoughts with their signatures, in order; and the tokens are read again."""
    body = write_response(Answer(parts, "stop"), frame(), usage)
    turns = asked_again(json.loads(body)["output"])

    assert turns[0] == Turn("assistant", parts)
    assert read_completion(body).usage == usage


@given(st.lists(PARTS, min_size=1, max_size=6), st.integers(1, 7))
def test_a_stream_ends_in_what_its_events_said(parts: list[Part], size: int) -> None:
    """However the parts are cut: the last event's output is that of the whole answer but for joined texts."""
    writer, events = ResponseWriter(frame()), b""
    for piece in pieces_of(parts, size):
        events += writer.write(piece)
    events += writer.end(Usage(1, 2))
    told = [json.loads(line[6:]) for line in events.splitlines() if line.startswith(b"data: ")]

    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["type"] == "response.completed"
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert done == told[-1]["response"]["output"]
    assert asked_again(done)[0] == Turn("assistant", joined(parts))


@given(st.lists(PARTS, min_size=1, max_size=6), st.integers(1, 7))
def test_our_own_events_are_read_as_what_they_were_written_from(parts: list[Part], size: int) -> None:
    """Text, thoughts, calls and usage, there and back."""
    writer, reader, text = ResponseWriter(frame()), EventReader(), ""
    calls: dict[int, str] = {}
    events = b"".join([*(writer.write(piece) for piece in pieces_of(parts, size)), writer.end(Usage(1, 2))])
    for line in events.splitlines():
        if not line.startswith(b"data: "):
            continue
        piece = reader.read(line[6:])
        text += piece.text
        for call in piece.calls:
            calls[call.index] = calls.get(call.index, "") + call.arguments
    uses = [part for part in parts if isinstance(part, ToolUse)]

    assert reader.is_finished
    assert piece.usage == Usage(1, 2)
    assert text == "".join(part.text for part in parts if isinstance(part, Text))
    assert list(calls.values()) == [use.arguments for use in uses]


def pieces_of(parts: list[Part], size: int) -> list[Piece]:
    """The pieces in which a stream would bring these parts."""
    pieces: list[Piece] = []
    number = 0
    for part in parts:
        match part:
            case Text(text=text):
                pieces += [Piece(text=cut, is_output=True) for cut in cuts(text, size)]
            case Thinking(redacted=str(data)):
                pieces.append(Piece(redacted=data, is_output=True))
            case Thinking():
                pieces += [Piece(thinking=cut, is_output=True) for cut in cuts(part.text, size)]
                pieces.append(Piece(signature=part.signature or ""))
            case ToolUse():
                pieces.append(Piece(calls=[CallPiece(number, part.call_id, part.name)], is_output=True))
                pieces += [
                    Piece(calls=[CallPiece(number, arguments=cut)], is_output=True)
                    for cut in cuts(part.arguments, size)
                ]
                number += 1
    return pieces


def cuts(text: str, size: int) -> list[str]:
    """The text in cuts of this size."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def joined(parts: list[Part]) -> list[Part]:
    """Texts in a row are one; so are thoughts until their signature comes."""
    told: list[Part] = []
    for part in parts:
        last = told[-1] if told else None
        if isinstance(part, Text) and isinstance(last, Text):
            told[-1] = Text(last.text + part.text)
        elif _goes_on(part, last) and isinstance(part, Thinking) and isinstance(last, Thinking):
            told[-1] = Thinking(last.text + part.text, part.signature)
        else:
            told.append(part)
    return told


def _goes_on(part: Part, last: Part | None) -> bool:
    """Whether a thought goes on with the one before it."""
    if not isinstance(part, Thinking) or not isinstance(last, Thinking):
        return False
    return part.redacted is None and last.redacted is None and last.signature is None


def test_results_in_a_row_are_one_turn_and_may_show_pictures() -> None:
    """As every dialect wants results of parallel calls."""
    items: list[dict[str, Any]] = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_image", "image_url": "https://h/x.png", "detail": "low"}],
        },
    ]
    calls, results, _ = asked_again(items)

    assert [type(part) for part in calls.parts] == [ToolUse, ToolUse]
    assert [part.call_id for part in results.parts if isinstance(part, ToolResult)] == ["c1", "c2"]


def test_what_another_provider_encrypted_is_left_out() -> None:
    """OpenAI's own encrypted thoughts mean nothing to an Anthropic model, which would refuse them."""
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "gAAAAB",
    }

    assert asked_again([item])[0].parts == [Thinking("Hm.")]


def test_the_response_says_what_it_was_asked() -> None:
    """Its instructions, tools and parameters, and that nothing is stored."""
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {
        "model": "a",
        "input": "hi",
        "instructions": "Be.",
        "tools": [tool],
        "temperature": 0.5,
        "store": True,
    }
    call = parse_responses(encode(body))
    shown = call._frame().ended("stop", Usage())
    told = json.loads(encode(shown))

    assert (told["instructions"], told["temperature"], told["store"]) == ("Be.", 0.5, False)
    assert told["tools"] == [
        {"parameters": {"type": "object"}, "strict": None, "type": "function", "name": "f"}
    ]
    assert told["text"] == {"format": {"type": "text"}}


@pytest.mark.parametrize("given", ["hi", [{"role": "user", "content": "hi"}], [], "\u2028", ' "'])
@pytest.mark.parametrize("instructions", [None, "Be brief."])
def test_what_is_asked_is_a_list_of_messages_for_the_record(given: object, instructions: str | None) -> None:
    """With the instructions before it, whatever form the input has."""
    body = {"model": "a", "input": given} | ({"instructions": instructions} if instructions else {})
    prompt = json.loads(parse_responses(encode(body)).prompt)

    assert isinstance(prompt, list)
    assert (prompt[:1] == [{"role": "system", "content": "Be brief."}]) is bool(instructions)


@pytest.mark.parametrize(
    "told", [{"async": True}, {"defer_loading": True}, {"allowed_callers": ["programmatic"]}]
)
def test_a_tool_that_no_other_api_has_is_refused_by_its_field(told: dict[str, Any]) -> None:
    """Without it the tool would be another one."""
    body = {
        "model": "m",
        "input": "hi",
        "tools": [{"type": "function", "name": "f", "parameters": {}, **told}],
    }
    call = parse_responses(encode(body))
    with pytest.raises(BadRequest, match=next(iter(told))):
        call.sent_to(DIALECTS["anthropic"], "m")


def test_a_file_that_another_provider_keeps_is_refused_by_its_field() -> None:
    """It cannot be fetched from there."""
    part = {"type": "input_image", "file_id": "file_1", "detail": "auto"}
    call = parse_responses(encode({"model": "m", "input": [{"role": "user", "content": [part]}]}))
    with pytest.raises(BadRequest, match=r"input\[0\]\.content\[0\]\.file_id"):
        call.sent_to(DIALECTS["openai"], "m")
