"""One answer of an upstream says the same on a surface, whole and streamed."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.test_mutations import SURFACES, requests

from tristar.providers.dialects import OPENAI
from tristar.providers.neutral import Usage
from tristar.relay.sse import EventSplitter, data_of, events_in

Json = dict[str, Any]

COUNTED = Usage(1, 2)
"""What is told where the upstream counts nothing."""

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
counts = st.none() | st.integers(0, 50)
usages = st.none() | st.fixed_dictionaries(
    {"prompt_tokens": counts, "completion_tokens": counts, "total_tokens": counts},
    optional={
        "prompt_tokens_details": st.none()
        | st.fixed_dictionaries({}, optional={"cached_tokens": counts, "cache_creation_tokens": counts}),
        "completion_tokens_details": st.none()
        | st.fixed_dictionaries({}, optional={"reasoning_tokens": counts}),
    },
)
calls = st.lists(st.sampled_from(["", "{}", '{"a":{"b":1}}']), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> Json:
    """An assistant's message in OpenAI's words: thoughts, text and a refusal or calls, any of them empty."""
    told: Json = {"reasoning_content": draw(words), "content": draw(words)}
    if draw(st.booleans()):
        kept = draw(st.sets(st.sampled_from(sorted(told))))
        return {name: value for name, value in told.items() if name in kept} | {"refusal": draw(words)}
    tools = [
        {"id": f"{'c' * 300}{n}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        for n, arguments in enumerate(draw(calls))
    ]
    return told | ({"tool_calls": tools} if tools else {})


def whole(surface: str, message: Json, finish: str, usage: Json | None) -> Json:
    """The surface's whole answer."""
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage}).encode()
    call = SURFACES[surface](json.dumps(requests(surface)[0]).encode())
    told: Json = json.loads(call.told(OPENAI, body, call.read(OPENAI, body).usage or COUNTED))
    return told


def streamed(
    surface: str, message: Json, finish: str, usage: Json | None, *, at_once: bool = False
) -> list[Json]:
    """The events of the surface's stream; all of the message but its calls comes `at_once`, or bit by bit."""
    said = {name: value for name, value in message.items() if name != "tool_calls"}
    deltas: list[Json] = [said] if at_once else [{name: value} for name, value in said.items()]
    deltas += [{"tool_calls": [tool | {"index": n}]} for n, tool in enumerate(message.get("tool_calls", ()))]
    events: list[Json] = [{"model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    events.append({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    events.append({"model": "m", "choices": [], "usage": usage})
    reader = OPENAI.reader()
    writer = SURFACES[surface](json.dumps(requests(surface)[0] | {"stream": True}).encode()).writer()
    pieces = [reader.read(json.dumps(event).encode()) for event in events]
    stream = b"".join(writer.write(piece) for piece in pieces) + writer.end(COUNTED)
    return [json.loads(data_of(event) or b"{}") for event in events_in(EventSplitter().feed(stream))]


finishes = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "other"])


@settings(max_examples=200)
@given(message=messages(), finish=finishes, usage=usages, at_once=st.booleans())
def test_a_message_ends_as_it_would_have_come_whole(
    message: Json, finish: str, usage: Json | None, *, at_once: bool
) -> None:
    """The same texts in the same blocks in the same order, the same stop reason, the same tokens."""
    told = whole("messages", message, finish, usage)
    events = streamed("messages", message, finish, usage, at_once=at_once)
    end = next(event for event in events if event["type"] == "message_delta")
    begun = [event["content_block"] for event in events if "content_block" in event]
    for event in events:
        if event["type"] == "content_block_delta" and "text" in event["delta"]:
            begun[event["index"]]["text"] += event["delta"]["text"]

    assert [(block["type"], block.get("text")) for block in begun] == [
        (block["type"], block.get("text")) for block in told["content"]
    ]
    assert (end["delta"]["stop_reason"], end["usage"]) == (told["stop_reason"], told["usage"])


@settings(max_examples=200)
@given(message=messages(), finish=finishes, usage=usages, at_once=st.booleans())
def test_a_response_ends_as_it_would_have_come_whole(
    message: Json, finish: str, usage: Json | None, *, at_once: bool
) -> None:
    """The same output but for its ids, the same status, the same tokens."""
    told = whole("responses", message, finish, usage)
    last = streamed("responses", message, finish, usage, at_once=at_once)[-1]["response"]

    assert gist(last) == gist(told)


def gist(response: Json) -> tuple[object, ...]:
    """What of a response means something."""
    output = [{name: value for name, value in item.items() if name != "id"} for item in response["output"]]
    return output, response["status"], response["incomplete_details"], response["usage"], response["model"]
