"""Whatever a client or an upstream sends: a clear refusal, or a word of our own; never a defect."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.pairs.answers import CASSETTES, ERRORS
from tests.contract.pairs.questions import HI, QUESTIONS

from tristar.errors import BadRequest, UpstreamBroken
from tristar.providers.anthropic.messages import parse_count, parse_messages
from tristar.providers.dialects import DIALECTS
from tristar.providers.fields import UNREADABLE
from tristar.providers.neutral import MOST_TOKENS, Usage
from tristar.providers.openai.chat import parse_chat
from tristar.providers.responses.call import parse_responses
from tristar.providers.surface import Call
from tristar.relay.failure import in_band, refusal

Json = dict[str, Any]
Parse = Callable[[bytes], Call]

SURFACES: dict[str, Parse] = {
    "chat": parse_chat,
    "messages": parse_messages,
    "responses": parse_responses,
}
strangers = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(-1e9, 1e9)
    | st.sampled_from(["", "text", "auto", "data:,", "http://[", "user", "tool_use", "\ud800", "{", "☆"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner)
    ),
    max_leaves=3,
)
REMOVED = object()


def places(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where something is in a JSON value, itself apart."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*at, key)
        yield from places(each, (*at, key))


@st.composite
def mutated(draw: st.DrawFn, specimens: list[Json]) -> bytes:
    """A good JSON object in which one thing is something else, or missing."""
    specimen = copy.deepcopy(draw(st.sampled_from(specimens)))
    place = draw(st.sampled_from(sorted(places(specimen), key=str)))
    inner: Any = specimen
    for key in place[:-1]:
        inner = inner[key]
    stranger = draw(st.just(REMOVED) | strangers)
    if stranger is REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = stranger
    return json.dumps(specimen).encode()  # a lone surrogate stays as the escape that it may be on the wire


def requests(surface: str) -> list[Json]:
    """Every question that the surface has words for, as the bodies that its SDK would send."""
    base: Json = {"model": "a", "max_tokens": 50}
    base |= {"input": [HI]} if surface == "responses" else {"messages": [HI]}
    asked = [question.asked[surface] for question in QUESTIONS if surface in question.asked]
    return [
        {**base, **{name: value for name, value in fields.items() if name != "extra_body"}}
        for fields in asked
    ]


@pytest.mark.parametrize("surface", SURFACES)
@settings(max_examples=300)
@given(data=st.data())
def test_a_request_is_written_or_refused(surface: str, data: st.DataObject) -> None:
    """In every dialect: a JSON body, or 400. Prompt, limit and end user are read whatever they are."""
    body = data.draw(mutated(requests(surface)))
    try:
        call = SURFACES[surface](body)
    except BadRequest:
        return
    assert isinstance(call.prompt, bytes)
    assert call.output_limit is None or call.output_limit >= 0
    assert call.end_user != ""
    for dialect in DIALECTS.values():
        try:
            sent = call.sent_to(dialect, "model")
        except BadRequest:
            continue
        json.loads(sent.body)


@settings(max_examples=100)
@given(body=mutated(requests("messages")))
def test_a_count_is_estimated_or_refused(body: bytes) -> None:
    """Of anything that a messages request may hold."""
    try:
        call = parse_count(body)
    except BadRequest:
        return
    assert msgspec.json.decode(call.estimate())["input_tokens"] >= 0


@pytest.mark.parametrize("name", CASSETTES)
@settings(max_examples=200)
@given(data=st.data())
def test_an_answer_is_told_or_is_none(name: str, data: st.DataObject) -> None:
    """On every surface: a JSON body, or the error that makes another attempt."""
    body = data.draw(mutated([recorded["whole"] for recorded in CASSETTES[name].values()]))
    dialect = DIALECTS[name]
    for surface, parse in SURFACES.items():
        call = parse(json.dumps(requests(surface)[0]).encode())
        try:
            usage = call.read(dialect, body).usage or Usage()
            counts = usage.input, usage.output, usage.cache_read, usage.cache_write, usage.reasoning
            assert all(0 <= count <= 4 * MOST_TOKENS for count in counts)
            told = call.told(dialect, body, usage)
        except UNREADABLE:
            continue
        json.loads(told)


@pytest.mark.parametrize("name", CASSETTES)
@settings(max_examples=200)
@given(data=st.data())
def test_a_stream_goes_on_whatever_one_event_says(name: str, data: st.DataObject) -> None:
    """A reader says what it cannot read by the errors that it promises; the writers cope with the rest."""
    events = data.draw(st.sampled_from([recorded["events"] for recorded in CASSETTES[name].values()]))
    stranger = data.draw(mutated(events))
    at = data.draw(st.integers(0, len(events)))
    wire = [json.dumps(event).encode() for event in events]
    dialect = DIALECTS[name]
    for surface, parse in SURFACES.items():
        call = parse(json.dumps({**requests(surface)[0], "stream": True}).encode())
        reader, writer = dialect.reader(), call.writer()
        try:
            for event in [*wire[:at], stranger, *wire[at:]]:
                try:
                    piece = reader.read(event)
                except UNREADABLE:
                    continue
                if not piece.done and piece.error is None:
                    written = writer.passed(event, piece) if call.passes(dialect) else writer.write(piece)
                    assert isinstance(written, bytes)
        except UpstreamBroken:
            continue  # tool calls that cannot be told apart any more
        assert isinstance(writer.end(Usage()), bytes)


@pytest.mark.parametrize("name", ERRORS)
@settings(max_examples=100)
@given(data=st.data(), status=st.sampled_from([400, 401, 403, 404, 429, 500, 503, 529]))
def test_an_error_is_a_failure_whatever_it_says(name: str, data: st.DataObject, status: int) -> None:
    """With a status that a client can be told, before a stream and in one."""
    body = data.draw(mutated([error for _, error in ERRORS[name].values()]))

    assert 400 <= refusal(DIALECTS[name], status, [], body).status <= 599
    assert 400 <= in_band(DIALECTS[name], body).status <= 599
