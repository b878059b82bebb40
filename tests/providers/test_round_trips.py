"""There and back: what both of two formats can express survives the way through either, and through both."""

import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tristar.providers.anthropic import answering as messages_answers
from tristar.providers.anthropic import asked as messages_in
from tristar.providers.anthropic import asking as messages_out
from tristar.providers.anthropic.streaming import EventReader
from tristar.providers.anthropic.telling import EventWriter
from tristar.providers.dialect import StreamReader
from tristar.providers.fields import read_object
from tristar.providers.neutral import (
    Answer,
    CallPiece,
    Conversation,
    Format,
    Image,
    Part,
    Piece,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Usage,
)
from tristar.providers.openai import answering as chat_answers
from tristar.providers.openai import asked as chat_in
from tristar.providers.openai import asking as chat_out
from tristar.providers.openai.streaming import ChunkReader, ChunkWriter
from tristar.providers.surface import StreamWriter
from tristar.relay.sse import EventSplitter, data_of, events_in

Way = Callable[[Conversation], Conversation]

words = st.text(min_size=1, max_size=30)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,15}", fullmatch=True)
counts = st.integers(0, 2**31)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(max_size=5)
objects = st.dictionaries(
    st.text(max_size=8),
    leaves | st.lists(leaves, max_size=2) | st.dictionaries(st.text(max_size=3), leaves, max_size=2),
    max_size=2,
)
arguments = objects.map(lambda value: msgspec.json.encode(value).decode())
schemas = objects.map(lambda value: {"type": "object", **value})

texts = st.builds(Text, words)
pictures = st.builds(
    Image, st.binary(min_size=1).map(bytes.hex), st.sampled_from(["image/png", "image/jpeg"])
) | st.builds(Image, url=st.just("https://example.com/ship.png"))
calls = st.builds(ToolUse, names, names, arguments)
results = st.builds(ToolResult, names, st.lists(texts, min_size=1, max_size=2))
choices = st.sampled_from([ToolChoice("auto"), ToolChoice("any"), ToolChoice("named", "weather")])


@st.composite
def turns(draw: st.DrawFn) -> list[Turn]:
    """User and assistant in turn; results of tools only where some were called."""
    made: list[Turn] = []
    called = False
    for _ in range(draw(st.integers(1, 3))):
        parts: Sequence[Part] = draw(
            st.lists(results if called else texts | pictures, min_size=1, max_size=3)
        )
        made.append(Turn("user", list(parts)))
        said, used = draw(st.lists(texts, max_size=2)), draw(st.lists(calls, max_size=2))
        called = bool(used)
        if said or used:
            made.append(Turn("assistant", [*said, *used]))
        else:
            break
    return made


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What chat completions and messages can both say."""
    choice = draw(st.none() | choices | st.just(ToolChoice("none")))
    can_be_parallel = choice is not None and choice.kind != "none"
    efforts = st.sampled_from(["low", "medium", "high", "xhigh"])
    return Conversation(
        system=draw(st.lists(texts, max_size=2)),
        turns=draw(turns()),
        tools=draw(
            st.lists(
                st.builds(Tool, names, st.none() | words, schemas, st.none() | st.booleans()), max_size=2
            )
        ),
        tool_choice=choice,
        parallel_tools=draw(st.none() | st.booleans()) if can_be_parallel else None,
        max_tokens=draw(st.integers(1, 100_000)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=draw(st.none() | st.integers(1, 500)),
        stop=draw(st.lists(words, max_size=3)),
        format=draw(st.none() | st.builds(Format, schemas, st.just("answer"))),
        reasoning=draw(st.none() | st.builds(Reasoning, effort=efforts)),
        user=draw(st.none() | words),
        stream=draw(st.booleans()),
        unknown=draw(st.just({}) | st.just({"custom_field": msgspec.Raw(b'{"a": [1, 2]}')})),
    )


def by_chat(asked: Conversation) -> Conversation:
    """Written as a chat request and read again."""
    body = chat_out.write_conversation(asked, "m", "")
    return chat_in.read_conversation(read_object(body), stream=asked.stream)


def by_messages(asked: Conversation) -> Conversation:
    """Written as a messages request and read again."""
    body = messages_out.write_conversation(asked, "m", "")
    return messages_in.read_conversation(read_object(body), stream=asked.stream)


def named(asked: Conversation) -> Conversation:
    """With its format's name, which messages do not have."""
    if asked.format is None:
        return asked
    return msgspec.structs.replace(asked, format=Format(asked.format.schema, "answer"))


@pytest.mark.parametrize(
    "ways",
    [
        (by_chat,),
        (by_messages,),
        (by_chat, by_messages),
        (by_messages, by_chat),
    ],
    ids=["chat", "messages", "chat-then-messages", "messages-then-chat"],
)
@settings(max_examples=50)
@given(asked=conversations())
def test_a_request_survives(ways: Sequence[Way], asked: Conversation) -> None:
    """Nothing that both formats can say is lost or changed on the way."""
    told = asked
    for way in ways:
        told = way(told)

    assert named(told) == named(asked)


usages = st.builds(
    lambda fresh, read, write, said, thought: Usage(
        fresh + read + write, said + thought, read, write, thought
    ),
    *[counts] * 5,
)
finishes = st.sampled_from(["stop", "length", "content_filter"])


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Thoughts, words and tool calls, in this order, as models give them."""
    thoughts: list[Part] = draw(st.lists(st.builds(Thinking, words), max_size=1))
    said: list[Part] = draw(st.lists(texts, max_size=1))
    used = draw(st.lists(calls, max_size=2))
    finish = "tool_calls" if used else draw(finishes)
    return Answer([*thoughts, *said, *used], finish=finish, model="m", usage=draw(usages))


def gist(answer: Answer) -> tuple[object, ...]:
    """What of an answer a client sees on any surface."""
    shown = [
        (
            type(part),
            getattr(part, "text", None),
            getattr(part, "name", None),
            getattr(part, "arguments", None),
        )
        for part in answer.parts
    ]
    return shown, answer.finish, answer.model, answer.usage


@given(answer=answers())
def test_an_answer_survives(answer: Answer) -> None:
    """As a completion, as a message, and as either after the other: parts, finish reason, model, tokens."""
    usage = answer.usage or Usage()
    as_chat = chat_answers.read_answer(chat_answers.write_answer(answer, "c1", 0, usage))
    as_message = messages_answers.read_answer(messages_answers.write_answer(answer, "m1", usage))
    there_and_back = chat_answers.read_answer(
        chat_answers.write_answer(as_message, "c1", 0, as_message.usage or Usage())
    )

    assert gist(as_chat) == gist(answer)
    assert gist(as_message) == gist(answer)
    assert gist(there_and_back) == gist(answer)


@pytest.mark.parametrize("told", [{}, {"id": None}, {"id": "", "arguments": None}])
def test_a_call_without_id_or_arguments_is_a_call(told: dict[str, object]) -> None:
    """As some servers send it: the client gets an id to answer under, and no arguments."""
    call = {"id": told.get("id"), "function": {"name": "f", "arguments": told.get("arguments", "")}}
    choice = {"message": {"tool_calls": [call, call]}, "finish_reason": "tool_calls"}
    answer = chat_answers.read_answer(json.dumps({"id": "a", "choices": [choice]}).encode())

    assert answer.parts == [ToolUse("call_a_0", "f", ""), ToolUse("call_a_1", "f", "")]


def test_a_call_that_the_limit_cuts_is_shown_without_its_arguments() -> None:
    """A message can hold no half object; cut for no reason it is no answer."""
    call = ToolUse("c1", "f", '{"city":"Ki')
    whole = ToolUse("c0", "f", '{"a":1}')
    told = json.loads(
        messages_answers.write_answer(Answer([whole, call], finish="length", model="m"), "m1", Usage())
    )

    assert [block["input"] for block in told["content"]] == [{"a": 1}, {}]
    assert told["stop_reason"] == "max_tokens"
    with pytest.raises(msgspec.DecodeError):
        messages_answers.write_answer(Answer([call], finish="tool_calls", model="m"), "m1", Usage())


@st.composite
def streams(draw: st.DrawFn) -> list[Piece]:
    """The pieces of a stream, in the order in which models give them."""
    pieces = [Piece(model="m")]
    pieces += [Piece(thinking=thought, is_output=True) for thought in draw(st.lists(words, max_size=3))]
    pieces += [Piece(text=word, is_output=True) for word in draw(st.lists(words, max_size=4))]
    used = draw(st.lists(calls, max_size=3))
    for number, call in enumerate(used):
        pieces.append(Piece(calls=[CallPiece(number, call.call_id, call.name)], is_output=True))
        cut = draw(st.integers(0, len(call.arguments)))
        pieces += [
            Piece(calls=[CallPiece(number, arguments=part)], is_output=True)
            for part in (call.arguments[:cut], call.arguments[cut:])
        ]
    finish = "tool_calls" if used else draw(finishes)
    return [*pieces, Piece(finish=finish, is_output=True), Piece(usage=draw(usages))]


def passed_on(pieces: Sequence[Piece], writer: StreamWriter, reader: StreamReader) -> list[Piece]:
    """Written as a surface's stream, and read as that of an upstream."""
    stream = b"".join(writer.write(piece) for piece in pieces) + writer.end(Usage())
    events = (data_of(event) for event in events_in(EventSplitter().feed(stream)))
    return [reader.read(data) for data in events if data is not None]


def gathered(pieces: Sequence[Piece]) -> tuple[object, ...]:
    """What a stream's pieces come to."""
    used: dict[int, list[str]] = {}
    for piece in pieces:
        for call in piece.calls:
            told = used.setdefault(call.index, ["", "", ""])
            told[0] += call.call_id or ""
            told[1] += call.name or ""
            told[2] += call.arguments
    text, thinking = "".join(p.text for p in pieces), "".join(p.thinking for p in pieces)
    finish = [piece.finish for piece in pieces if piece.finish]
    usage = [piece.usage for piece in pieces if piece.usage]
    model = [piece.model for piece in pieces if piece.model]
    return text, thinking, list(used.values()), finish, usage, model[-1:]


@given(pieces=streams())
def test_a_stream_survives(pieces: list[Piece]) -> None:
    """As chunks, as events, and as either after the other; each is complete at its end."""
    chunks, events = ChunkReader(), EventReader()
    as_chunks = passed_on(pieces, ChunkWriter("c1", 0, wants_usage=True), chunks)
    as_events = passed_on(pieces, EventWriter("m1"), events)
    there_and_back = passed_on(as_events, ChunkWriter("c1", 0, wants_usage=True), ChunkReader())

    assert chunks.is_finished
    assert events.is_finished
    assert gathered(as_chunks) == gathered(pieces)
    assert gathered(as_events) == gathered(pieces)
    assert gathered(there_and_back) == gathered(pieces)


def test_a_chunk_may_hold_thoughts_a_text_and_calls_at_once() -> None:
    """As upstreams send that give a whole answer as one event; it is not taken for one of text alone."""
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    delta = {"content": "Hi.", "reasoning_content": "Hm.", "tool_calls": [call]}
    chunk, reader = json.dumps({"choices": [{"delta": delta}]}).encode(), ChunkReader()
    texts = reader.read_texts([chunk], 0)
    piece = reader.read(chunk)

    assert texts == []
    assert (piece.text, piece.thinking, piece.calls) == ("Hi.", "Hm.", [CallPiece(0, "c1", "f", "{}")])


@pytest.mark.parametrize("beside", ["refusal", "function_call", "audio"])
def test_a_chunk_with_a_text_and_more_is_not_taken_for_one_of_text_alone(beside: str) -> None:
    """A refusal is kept; what only OpenAI's own API knows is not carried on by another llm."""
    delta = {"content": "Hi.", beside: "No." if beside == "refusal" else {"id": "x"}}
    chunk, reader = json.dumps({"choices": [{"delta": delta}]}).encode(), ChunkReader()
    texts = reader.read_texts([chunk], 0)
    piece = reader.read(chunk)

    assert texts == []
    assert piece.text == "Hi."
    assert (piece.refusal, piece.opaque) == (("No.", False) if beside == "refusal" else ("", True))
    assert not piece.is_plain()


@given(pieces=streams(), places=st.sets(st.integers(0, 40), max_size=3))
def test_a_message_stays_whole_whatever_its_upstream_loses(pieces: list[Piece], places: set[int]) -> None:
    """Any events may be lost: blocks still begin before they go on, one after the other, each ended once."""
    stream = b"".join(events_of(pieces))
    sent = [event for n, event in enumerate(events_in(EventSplitter().feed(stream))) if n not in places]
    reader, writer = EventReader(), EventWriter("m2")
    told = b""
    for event in sent:
        piece = reader.read(data_of(event) or b"{}")
        told += b"" if piece.done else writer.passed(event, piece)
    told += writer.end(Usage())

    assert_orderly([json.loads(data_of(event) or b"{}") for event in events_in(EventSplitter().feed(told))])


def events_of(pieces: Sequence[Piece]) -> list[bytes]:
    """A whole stream of Anthropic's."""
    writer = EventWriter("m1")
    return [*(writer.write(piece) for piece in pieces), writer.end(Usage())]


def assert_orderly(events: Sequence[dict[str, object]]) -> None:
    """The order of events that Anthropic documents."""
    open_block: object = None
    begun = 0
    assert events[0]["type"] == "message_start"
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None
                assert event["index"] == begun
                open_block, begun = event["index"], begun + 1
            case "content_block_delta":
                assert event["index"] == open_block
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = None
            case other:
                raise AssertionError(other)
    assert open_block is None
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
