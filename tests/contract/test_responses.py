"""`/v1/responses`: as it came to upstreams that have it, translated to the others, rescued between both."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import PRESENT, RESPONSES, View, look
from tests.upstream import Answer, Cut, Raw, Step, ToolCall, Upstream, responses

TIMES = {"idle_timeout_s": 5.0, "retries": 0}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
BEGUN = {"id": "resp_x", "object": "response", "status": "in_progress", "model": "m", "output": []}


@dataclass(frozen=True)
class Place:
    """A gateway; `native` has responses itself, `plain` only chats."""

    gateway: Gateway
    native: Upstream
    plain: Upstream

    def ask(self, model: str, *, stream: bool = False, **body: Any) -> View:  # noqa: ANN401 - JSON values
        """One responses request."""
        token = PRESENT.set(RESPONSES)
        try:
            return look(self.gateway, model, stream=stream, **body)
        finally:
            PRESENT.reset(token)

    def on(self, name: str, step: Step) -> str:
        """An llm of the native upstream that meets this, with a fallback on the plain one."""
        self.native.on(name, step)
        self.plain.on(name, Answer())
        return name


CASES = ("whole", "failed", "cut", "rescued", "incomplete", "tools", "kept", "passed")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests, each with an llm of its own."""
    with ExitStack() as stack:
        native, plain = (stack.enter_context(Upstream()) for _ in range(2))
        tables = [
            provider("native", native.base_url, responses=True),
            provider("plain", plain.base_url),
            llm("once", "plain", requests_per_minute=1),
        ]
        for name in CASES:
            tables.append(llm(name, "native", fallbacks=[f"{name}-spare"], **TIMES))
            tables.append(llm(f"{name}-alone", "native", model=name, **TIMES))
            tables.append(llm(f"{name}-spare", "plain", model=name, **TIMES))
        gateway = Gateway(tmp_path_factory.mktemp("responses"), toml=document(*tables))
        stack.enter_context(watched(gateway))
        yield Place(gateway.start(), native, plain)


def events(*told: dict[str, Any]) -> bytes:
    """A stream of these."""
    numbered = ({**event, "sequence_number": number} for number, event in enumerate(told))
    return HEAD + b"".join(responses.event(json.dumps(event).encode()) for event in numbered)


def failed() -> Raw:
    """A stream that ends in `response.failed`."""
    error = {"code": "server_error", "message": "The server had an error."}
    last = {"type": "response.failed", "response": {**BEGUN, "status": "failed", "error": error}}
    return Raw(events({"type": "response.created", "response": BEGUN}, last))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_upstream_that_has_responses_is_passed_through(place: Place, *, stream: bool) -> None:
    """The answer byte for byte, its last event too; the request but for the model's name."""
    place.on("passed", Answer(thoughts=("Hm",), tools=(ToolCall("f", '{"a":1}', "c1"),)))
    body = {"tools": [{"type": "web_search"}], "prompt": {"id": "p"}, "new_field": [1], "store": True}
    view = place.ask("passed-alone", stream=stream, **body)
    call = place.native.journal.of("passed")[-1]
    answer = Answer(thoughts=("Hm",), tools=(ToolCall("f", '{"a":1}', "c1"),))

    wanted = b"".join(map(responses.event, answer.events(call))) if stream else answer.body(call)
    assert view.body == wanted
    assert call.json == RESPONSES.ask("passed", stream) | body
    assert call.path.endswith("/responses")
    assert place.gateway.record_of(view.trace_id).details["finish_reason"] == "tool_calls"


def test_a_response_that_failed_is_a_failure(place: Place) -> None:
    """Before any output another llm takes over unseen."""
    place.on("failed", failed())
    view = place.ask("failed", stream=True)
    record = place.gateway.record_of(view.trace_id)

    assert view.complete
    assert view.llm == "failed-spare"
    assert record.attempts[0]["error_type"] == "server_error"


def test_a_response_that_breaks_off_does_not_look_whole(place: Place) -> None:
    """An `error` event with the next number, in the API's own format, and no completion."""
    place.on("cut", Answer(fault=Cut(4)))
    view = place.ask("cut-alone", stream=True)

    assert view.text == "Three stars"
    assert not view.done
    assert view.events[-1]["type"] == "error"
    assert set(view.events[-1]) == {"type", "code", "message", "param", "sequence_number"}
    assert [event["sequence_number"] for event in view.events] == list(range(len(view.events)))
    assert place.gateway.record_of(view.trace_id).statuses == ["error"]


def test_a_response_that_is_cut_goes_on_under_the_same_ids(place: Place) -> None:
    """The fallback only chats; the client sees one response, one message, numbers in a row, usage of both."""
    place.on("rescued", Answer(fault=Cut(4)))
    view = place.ask("rescued", stream=True)
    last = view.events[-1]["response"]
    items = {event["item_id"] for event in view.events if "item_id" in event}
    record = place.gateway.record_of(view.trace_id)

    assert view.text == Answer().text
    assert [event["sequence_number"] for event in view.events] == list(range(len(view.events)))
    assert [event["type"] for event in view.events[-4:]] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert (last["id"], items) == ("resp_upstream", {"msg_upstream"})
    assert last["output"][0]["content"][0]["text"] == Answer().text
    assert last["usage"]["output_tokens"] == record.details["tokens_output"]
    assert record.statuses == ["error", "success"]


def test_an_incomplete_response_is_an_end(place: Place) -> None:
    """It passes as it came; the record says why it ended."""
    place.on("incomplete", Answer(finish="length"))
    view = place.ask("incomplete-alone", stream=True)

    assert view.events[-1]["type"] == "response.incomplete"
    assert place.gateway.record_of(view.trace_id).details["finish_reason"] == "length"


@pytest.mark.parametrize("model", ["tools-alone", "tools-spare"], ids=["passed", "translated"])
def test_openais_sdk_gathers_a_stream_with_tools(place: Place, model: str) -> None:
    """Its helper follows every event, and its final response is what they said."""
    answer = Answer(tools=(ToolCall("f", '{"a":1}', "c1"), ToolCall("g", "{}", "c2")))
    place.native.on("tools", answer)
    place.plain.on("tools", answer)
    with (
        openai.OpenAI(base_url=f"{place.gateway.url}/v1", api_key="none", max_retries=0) as sdk,
        sdk.responses.stream(model=model, input="hi") as stream,
    ):
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    calls = [
        (item.call_id, item.name, item.arguments) for item in final.output if item.type == "function_call"
    ]
    assert [(call_id, json.loads(arguments)) for call_id, _, arguments in calls] == [
        (tool.call_id, json.loads(tool.arguments)) for tool in answer.tools
    ]
    assert final.output_text == answer.text
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.function_call_arguments.done") == 2


@pytest.mark.parametrize("model", ["kept-alone", "kept-spare"], ids=["passed", "translated"])
def test_an_answer_in_the_background_is_refused_everywhere(place: Place, model: str) -> None:
    """Nobody could fetch it here; nothing is sent."""
    before = len(place.native.journal.calls) + len(place.plain.journal.calls)
    view = place.ask(model, background=True)

    assert view.status == 400
    assert view.error is not None
    assert view.error["param"] == "background"
    assert len(place.native.journal.calls) + len(place.plain.journal.calls) == before


def test_what_only_the_upstream_keeps_goes_where_it_is_kept(place: Place) -> None:
    """An llm that cannot be told is passed over; where none can, the 400 names the field."""
    place.on("kept", Answer())
    native = place.ask("kept", previous_response_id="resp_1")
    plain = place.ask("kept-spare", previous_response_id="resp_1")

    assert native.llm == "kept"
    assert place.native.journal.of("kept")[-1].json["previous_response_id"] == "resp_1"
    assert plain.status == 400
    assert plain.error is not None
    assert plain.error["param"] == "previous_response_id"


def test_limits_hold_as_on_every_surface(place: Place) -> None:
    """429 in OpenAI's envelope, and when to come again."""
    first, second = place.ask("once"), place.ask("once", stream=True)

    assert first.complete
    assert (second.status, second.error and second.error["code"]) == (429, "rate_limit_exceeded")
    assert float(second.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("body", "param"),
    [({"input": 1}, "input"), ({"input": [{"type": "item_reference", "id": "x"}]}, "input"), ({}, "input")],
)
def test_what_is_no_request_is_refused_by_its_field(place: Place, body: dict[str, Any], param: str) -> None:
    """400 in OpenAI's envelope."""
    answer = place.gateway.request("POST", "/v1/responses", json={"model": "whole-spare", **body})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
