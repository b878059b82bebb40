"""Response headers, request ids and W3C trace context."""

import re

import anthropic
import openai
import pytest
from tests.gateway.house import House, Lane
from tests.gateway.view import look
from tests.upstream import Answer, Status

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_says_who_answered_and_how(house: House, lane: Lane, *, stream: bool) -> None:
    """Request id, trace id, llm and number of attempts."""
    view = look(house.gateway, lane.llm, stream=stream)

    assert view.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", view.trace_id or "")
    assert view.llm == lane.llm
    assert view.headers["x-tristar-attempts"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_names_itself(house: House, lane: Lane, *, stream: bool) -> None:
    """`x-tristar-llm` is who answered, not who was asked; every attempt is counted."""
    lane.on(Status(401))
    view = look(house.gateway, lane.llm, stream=stream)

    assert view.llm == lane.spare_llm
    assert view.headers["x-tristar-attempts"] == "2"
    assert view.model == lane.spare_model


def test_errors_carry_the_ids_too(house: House, lane: Lane) -> None:
    """Whoever reports an error can name it."""
    view = look(house.gateway, "no-such-model")

    assert view.headers["x-request-id"]
    assert house.gateway.record_of(view.trace_id)["status"] == 404


def test_openais_sdk_reads_the_requests_id(house: House, lane: Lane) -> None:
    """Of answers and of errors: it is the record's."""
    with openai.OpenAI(base_url=f"{house.gateway.url}/v1", api_key="none", max_retries=0) as sdk:
        chat = sdk.chat.completions.create(model=lane.llm, messages=[{"role": "user", "content": "hi"}])
        response = sdk.responses.create(model=lane.llm, input="hi")
        with pytest.raises(openai.NotFoundError) as error:
            sdk.chat.completions.create(model="none", messages=[])

    assert_recorded(house, chat._request_id, response._request_id, error.value.request_id)


def test_anthropics_sdk_reads_the_requests_id(house: House, lane: Lane) -> None:
    """Of answers, of streams and of errors, in headers and in the error's body."""
    asked: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hi"}]
    with anthropic.Anthropic(base_url=house.gateway.url, api_key="none", max_retries=0) as sdk:
        whole = sdk.messages.create(model=lane.llm, max_tokens=9, messages=asked)
        with sdk.messages.stream(model=lane.llm, max_tokens=9, messages=asked) as stream:
            stream.until_done()
        with pytest.raises(anthropic.NotFoundError) as error:
            sdk.messages.create(model="none", max_tokens=9, messages=asked)
    told = error.value.body

    assert isinstance(told, dict)
    assert told["request_id"] == error.value.request_id
    assert_recorded(house, whole._request_id, stream.request_id, error.value.request_id)


def assert_recorded(house: House, *request_ids: str | None) -> None:
    """Each is the id of one record."""
    known = ["req_" + record["event_id"] for record in house.gateway.records() if record.terminal]

    assert len(set(request_ids)) == len(request_ids)
    assert all(known.count(request_id) == 1 for request_id in request_ids)


def test_each_request_has_its_own_ids(house: House, lane: Lane) -> None:
    """Begun where the client brings none."""
    views = [look(house.gateway, lane.llm) for _ in range(5)]

    assert len({view.headers["x-request-id"] for view in views}) == 5
    assert len({view.trace_id for view in views}) == 5


def test_a_traceparent_is_continued(house: House, lane: Lane) -> None:
    """The trace id stays, the upstream gets a span of ours, the record carries it."""
    view = look(house.gateway, lane.llm, headers={"traceparent": PARENT})
    sent_on = lane.calls()[0].header("traceparent") or ""
    version, trace_id, span_id, flags = sent_on.split("-")

    assert view.trace_id == TRACE_ID
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert re.fullmatch("[0-9a-f]{16}", span_id)
    assert span_id != "b7ad6b7169203331"
    assert house.gateway.record_of(TRACE_ID).action == "llm_call"


def test_a_traceparent_is_begun(house: House, lane: Lane) -> None:
    """The upstream gets the trace id that the client is told."""
    view = look(house.gateway, lane.llm)

    assert (lane.calls()[0].header("traceparent") or "").split("-")[1] == view.trace_id


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "garbage",
        f"ff-{TRACE_ID}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE_ID}-b7ad6b7169203331-01-extra",
        f"00-{TRACE_ID[:-1]}-b7ad6b7169203331-01",
        "00-" + "é" * 32 + "-b7ad6b7169203331-01",
    ],
)
def test_a_broken_traceparent_begins_a_new_trace(house: House, lane: Lane, parent: str) -> None:
    """As the W3C recommendation says; never an error."""
    view = look(house.gateway, lane.llm, headers={"traceparent": parent})

    assert view.status == 200
    assert re.fullmatch("[0-9a-f]{32}", view.trace_id or "")
    assert view.trace_id not in {TRACE_ID, "0" * 32}


def test_a_traceparent_of_a_later_version_is_continued(house: House, lane: Lane) -> None:
    """What follows the flags is for those who know it."""
    trace_id = "1af7651916cd43dd8448eb211c80319c"
    view = look(house.gateway, lane.llm, headers={"traceparent": f"01-{trace_id}-b7ad6b7169203331-01-new"})

    assert view.trace_id == trace_id


def test_retries_are_counted_in_the_header(house: House, lane: Lane) -> None:
    """Attempts, not llms."""
    lane.on(Status(500), Answer())
    view = look(house.gateway, lane.llm)

    assert (view.llm, view.headers["x-tristar-attempts"]) == (lane.llm, "2")


def test_the_upstreams_connection_headers_stay_there(house: House, lane: Lane) -> None:
    """Framing and hop-by-hop fields are the gateway's own business."""
    view = look(house.gateway, lane.llm)

    assert len(view.headers.get_list("content-length")) == 1
    assert int(view.headers["content-length"]) == len(view.body)
    assert view.headers.get_list("transfer-encoding") == []
