"""`POST /v1/chat/completions` through the official SDK, not streamed."""

import asyncio
import json

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Mirror, ToolCall

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"


def test_the_sdk_gets_the_answer_and_its_usage(house: House, lane: Lane) -> None:
    """Text, model and usage as the upstream gave them."""
    with house.gateway.client() as client:
        got = client.chat.completions.create(model=lane.llm, messages=HI)

    assert got.choices[0].message.content == Answer().text
    assert got.usage is not None
    assert (got.model, got.usage.prompt_tokens, got.usage.completion_tokens) == (lane.model, 11, 6)


async def test_the_async_sdk_gets_the_answer(house: House, lane: Lane) -> None:
    """The same on an event loop."""
    async with house.gateway.async_client() as client:
        got = await client.chat.completions.create(model=lane.llm, messages=HI)

    assert got.choices[0].message.content == Answer().text


def test_the_short_route_answers_the_same(house: House, lane: Lane) -> None:
    """`POST /v1/chat` is the user's own name for it, in metrics and records too."""
    answer = house.gateway.request("POST", "/v1/chat", json={"model": lane.llm, "messages": HI})

    assert answer.json()["choices"][0]["message"]["content"] == Answer().text
    assert house.gateway.record_of(answer.headers["x-tristar-trace-id"])["resource"] == "/v1/chat"
    assert house.gateway.scrape().value("ailinux_request_count", endpoint="/v1/chat", status="200") >= 1


def test_parallel_tool_calls_come_through(house: House, lane: Lane) -> None:
    """Two calls with their arguments, and the finish reason."""
    lane.on(
        Answer(words=(), tools=(ToolCall("weather", '{"city":"Graz"}', "a"), ToolCall("weather", "{}", "b")))
    )
    with house.gateway.client() as client:
        got = client.chat.completions.create(model=lane.llm, messages=HI, tools=[WEATHER])
    calls = got.choices[0].message.tool_calls or []

    assert [call.id for call in calls] == ["a", "b"]
    assert calls[0].type == "function"
    assert calls[0].function.arguments == '{"city":"Graz"}'
    assert got.choices[0].finish_reason == "tool_calls"
    assert lane.calls()[0].json["tools"] == [WEATHER]


def test_a_tool_result_travels_upstream(house: House, lane: Lane) -> None:
    """Roles and ids of a whole tool conversation arrive as they were sent."""
    conversation: list[ChatCompletionMessageParam] = [
        *HI,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]
    with house.gateway.client() as client:
        client.chat.completions.create(model=lane.llm, messages=conversation)

    assert lane.calls()[0].json["messages"] == conversation


def test_images_travel_untouched(house: House, lane: Lane) -> None:
    """What the upstream mirrors is what was sent."""
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    lane.on(Mirror())
    with house.gateway.client() as client:
        got = client.chat.completions.create(
            model=lane.llm,
            messages=[{"role": "user", "content": content}],  # type: ignore[misc, list-item]  # plain JSON on purpose
        )

    assert json.loads(got.choices[0].message.content or "") == content


def test_unknown_request_fields_travel_byte_for_byte(house: House, lane: Lane) -> None:
    """Digits, escapes and order stay; only the model's name changes."""
    fragment = (
        '"x_new":{"b":1.50,"a":1e2,"big":123456789012345678901234567890,"s":"\\u00e9\\/\\ud83d\\ude00é"}'
    )
    body = (
        f'{{ "model": "{lane.llm}",\n  {fragment} ,"messages":[{{"role":"user","content":"hi","y":null}}]}}'
    )
    answer = house.gateway.request(
        "POST", "/v1/chat/completions", content=body.encode(), headers={"content-type": "application/json"}
    )

    assert answer.status_code == 200
    assert fragment in lane.calls()[0].body.decode()
    assert list(lane.calls()[0].json) == ["model", "x_new", "messages"]
    assert lane.calls()[0].json["messages"] == [{"role": "user", "content": "hi", "y": None}]


def test_unknown_answer_fields_reach_the_client_byte_for_byte(house: House, lane: Lane) -> None:
    """The client reads the very bytes that the upstream sent."""
    step = Answer(extra={"x_new": {"é": [1.5, None], "nested": {"k": "v"}}, "system_fingerprint": "fp"})
    lane.on(step)
    view = look(house.gateway, lane.llm)

    assert view.body == step.body(lane.calls()[0])


def test_fallbacks_in_the_body_are_not_sent_upstream(house: House, lane: Lane) -> None:
    """They are the gateway's own word; everything else stays."""
    look(house.gateway, lane.alone, fallbacks=[lane.spare_llm], temperature=0.5)

    assert "fallbacks" not in lane.calls()[0].json
    assert lane.calls()[0].json["temperature"] == 0.5


def test_the_operators_key_goes_upstream_and_the_clients_does_not(house: House, lane: Lane) -> None:
    """Authorization is the provider's; a provider without a key gets none."""
    look(house.gateway, lane.llm, headers={"authorization": "Bearer client-secret"})
    look(house.gateway, lane.spare_llm, headers={"authorization": "Bearer client-secret"})

    assert lane.calls()[0].header("authorization") == "Bearer sk-canary-operator-key-0000"
    assert lane.spare_calls()[0].header("authorization") is None


def test_an_answer_is_counted_and_recorded_when_it_is_there(house: House, lane: Lane) -> None:
    """A scrape after the last byte has it; so has the log, in strict mode, without waiting."""
    view = look(house.gateway, lane.llm)
    records = [record for record in house.gateway.records() if record["trace_id"] == view.trace_id]
    scrape = house.gateway.scrape()
    labels = {"model": lane.model, "provider": "primary"}

    assert [record.action for record in records] == ["llm_call"]
    assert records[0]["outcome"] == "success"
    assert records[0].details["tokens_source"] == "provider"
    assert scrape.value("ailinux_llm_calls_total", **labels, status="success") == 1
    assert scrape.value("ailinux_llm_tokens_total", **labels, type="input") == 11
    assert scrape.value("ailinux_llm_tokens_total", **labels, type="output") == 6
    assert scrape.value("ailinux_llm_latency_seconds_count", **labels) == 1


def test_an_answer_without_usage_is_estimated_and_says_so(house: House, lane: Lane) -> None:
    """Never zero, never passed off as the provider's."""
    lane.on(Answer(report_usage=False))
    view = look(house.gateway, lane.llm)
    details = house.gateway.record_of(view.trace_id).details

    assert details["tokens_source"] == "estimated"
    assert details["tokens_output"] > 0
    assert details["tokens_input"] > 0


def test_a_record_begins_as_the_contract_says(house: House, lane: Lane) -> None:
    """The order of the first fields is part of the format."""
    view = look(house.gateway, lane.llm)
    record = house.gateway.record_of(view.trace_id)
    first = list(record.fields)[:5]

    assert first == ["timestamp", "trace_id", "action", "resource", "log_level"]
    assert record["resource"] == "/v1/chat/completions"
    assert record["ip_address"] == "127.0.0.1"
    assert record["service"] == "ailinux-backend"


def test_prompts_and_answers_are_in_no_record(house: House, lane: Lane) -> None:
    """`metadata` is the default policy: sizes and fingerprints."""
    lane.on(Answer(words=("zebra-in-the-answer",)))
    look(house.gateway, lane.llm, messages=[{"role": "user", "content": "walrus-in-the-prompt"}])
    log = b"".join(record.line for record in house.gateway.records())

    assert b"walrus-in-the-prompt" not in log
    assert b"zebra-in-the-answer" not in log
    assert b"canary-operator-key" not in log


def test_many_at_once_each_get_their_own_answer(house: House, lane: Lane) -> None:
    """Answers are not mixed up between requests that run together; a slow machine may need the fallback."""
    lane.on(Mirror())

    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[str | None, bool]:
        raw = await client.chat.completions.with_raw_response.create(
            model=lane.llm, messages=[{"role": "user", "content": f"number {number}"}]
        )
        own = raw.parse().choices[0].message.content == json.dumps(f"number {number}")
        return raw.headers.get("x-tristar-llm"), own

    async def ask_all() -> list[tuple[str | None, bool]]:
        async with house.gateway.async_client() as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    answers = asyncio.run(ask_all())

    assert [own for llm, own in answers if llm == lane.llm] != []
    assert [own for llm, own in answers if own != (llm == lane.llm)] == []


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_large_prompts_and_answers_pass(house: House, lane: Lane, size: int) -> None:
    """Well under the limit of 32 MB."""
    lane.on(Mirror())
    view = look(house.gateway, lane.llm, messages=[{"role": "user", "content": "x" * size}])

    assert json.loads(view.text) == "x" * size
