"""Streams through the official SDK: usage only for who asked, tools, tokens counted."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from tests.gateway import assert_books_balance, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Gate, ToolCall, Upstream

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


def test_the_sdk_reads_the_stream(house: House, lane: Lane) -> None:
    """Every word, then the end."""
    with house.gateway.client() as client:
        chunks = list(client.chat.completions.create(model=lane.llm, messages=HI, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == Answer().text
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_the_async_sdk_reads_the_stream(house: House, lane: Lane) -> None:
    """The same on an event loop."""
    async with house.gateway.async_client() as client:
        stream = await client.chat.completions.create(model=lane.llm, messages=HI, stream=True)
        words = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert "".join(words) == Answer().text


def test_usage_reaches_the_client_that_asked(house: House, lane: Lane) -> None:
    """The last chunk has no choices and the usage; the others say `usage: null`."""
    view = look(house.gateway, lane.llm, stream=True, stream_options={"include_usage": True})

    assert view.events[-1]["choices"] == []
    assert view.events[-1]["usage"]["completion_tokens"] == 6
    assert all(event["usage"] is None for event in view.events[:-1])
    assert view.done


@pytest.mark.parametrize(
    "options", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": None}]
)
def test_the_usage_chunk_is_kept_from_the_client_that_did_not_ask(
    house: House, lane: Lane, options: dict[str, Any]
) -> None:
    """It is asked for upstream, counted, and left out."""
    view = look(house.gateway, lane.llm, stream=True, **options)

    assert lane.calls()[0].wants_usage
    assert all(event["choices"] for event in view.events)
    assert all(event.get("usage") is None for event in view.events)
    assert view.done


@pytest.mark.parametrize("wanted", [True, False])
def test_tokens_of_a_stream_are_the_providers(house: House, lane: Lane, *, wanted: bool) -> None:
    """Counted and recorded exactly, whether the client asked or not."""
    lane.on(Answer(tokens=(123, 45)))
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if wanted else {}
    view = look(house.gateway, lane.llm, stream=True, **options)
    details = house.gateway.record_of(view.trace_id).details
    scrape = house.gateway.scrape()

    assert (details["tokens_input"], details["tokens_output"], details["tokens_source"]) == (
        123,
        45,
        "provider",
    )
    assert scrape.value("ailinux_llm_tokens_total", model=lane.model, type="input") == 123
    assert scrape.value("ailinux_llm_tokens_total", model=lane.model, type="output") == 45


def test_other_stream_options_are_kept(house: House, lane: Lane) -> None:
    """Adding ours does not lose theirs."""
    look(house.gateway, lane.llm, stream=True, stream_options={"include_obfuscation": False})

    assert lane.calls()[0].json["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_a_request_that_is_not_streamed_gets_no_stream_options(house: House, lane: Lane) -> None:
    """OpenAI refuses them there."""
    look(house.gateway, lane.llm)

    assert "stream_options" not in lane.calls()[0].json


def test_tool_arguments_are_streamed_in_parts(house: House, lane: Lane) -> None:
    """Two parallel calls, put together by their index."""
    tools = (ToolCall("weather", '{"city":"Graz"}', "a"), ToolCall("time", '{"zone":"CET"}', "b"))
    lane.on(Answer(words=(), tools=tools))
    arguments = {0: "", 1: ""}
    finish = None
    with house.gateway.client() as client:
        for chunk in client.chat.completions.create(model=lane.llm, messages=HI, stream=True):
            finish = chunk.choices[0].finish_reason or finish
            for call in chunk.choices[0].delta.tool_calls or []:
                assert call.function is not None
                arguments[call.index] += call.function.arguments or ""

    assert arguments == {0: '{"city":"Graz"}', 1: '{"zone":"CET"}'}
    assert finish == "tool_calls"


def test_unknown_chunk_fields_reach_the_client_byte_for_byte(house: House, lane: Lane) -> None:
    """The events are the very bytes that the upstream sent."""
    step = Answer(extra={"x_new": {"é": [1.5, None]}, "obfuscation": "abc"})
    lane.on(step)
    view = look(house.gateway, lane.llm, stream=True, stream_options={"include_usage": True})
    sent = (
        b"".join(b"data: " + event + b"\n\n" for event in step.events(lane.calls()[0])) + b"data: [DONE]\n\n"
    )

    assert view.body == sent


def test_each_chunk_arrives_when_it_is_sent(house: House, lane: Lane) -> None:
    """The first words are with the client while the upstream still holds the rest."""
    gate = Gate()
    lane.on(Answer(gate=gate, gate_at=3))
    with house.gateway.client() as client:
        stream = client.chat.completions.create(model=lane.llm, messages=HI, stream=True)
        chunks = iter(stream)
        early = "".join(next(chunks).choices[0].delta.content or "" for _ in range(3))
        held = not lane.calls()[0].ended
        gate.release()
        late = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    assert (early, held) == ("Three stars", True)
    assert early + late == Answer().text


def test_a_stream_says_that_it_is_one_and_is_not_to_be_buffered(house: House, lane: Lane) -> None:
    """Content type, and no caching by what stands between."""
    view = look(house.gateway, lane.llm, stream=True)

    assert view.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in view.headers["cache-control"] or "no-store" in view.headers["cache-control"]
    assert "content-length" not in view.headers


def test_two_choices_are_both_streamed(house: House, lane: Lane) -> None:
    """`n` is passed on; the stream ends when the upstream says so."""
    view = look(house.gateway, lane.llm, stream=True, n=2)

    assert lane.calls()[0].json["n"] == 2
    assert view.complete


def test_a_long_stream_is_whole(gateway: StartGateway, upstream: Upstream) -> None:
    """Ten thousand chunks, none lost, none twice."""
    words = tuple(f" {number}" for number in range(10_000))
    upstream.default = Answer(words=words)
    running = gateway(toml=document(provider("p", upstream.base_url), llm("fast", "p")))
    view = look(running, "fast", stream=True)

    assert view.text == "".join(words)
    assert view.done
    assert running.record_of(view.trace_id).details["tokens_output"] == 10_000
    assert_books_balance(running)
