"""`/v1/messages` beyond what every surface shares: headers, keys, bytes, rescue across dialects, counting."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import MessageParam
from tests.faults.verdicts import BOTH_WAYS
from tests.gateway import Gateway, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.gateway.view import CHAT, MESSAGES, PRESENT, Surface, View, look
from tests.upstream import Answer, Call, Cut, Malformed, Status, ToolCall, Upstream

ADMIN_KEY = "the-admin-key-of-these-tests"
HI: MessageParam = {"role": "user", "content": "hi"}
WORDS = Answer().words
THOUGHTFUL = Answer(thoughts=("Stars", " guide."), tools=(ToolCall("weather", '{"city":"Kiel"}'),))


@dataclass(frozen=True)
class Place:
    """A gateway before two upstreams; `claude*` speak Anthropic's dialect, `gpt*` OpenAI's."""

    gateway: Gateway
    upstream: Upstream
    sdk: anthropic.Anthropic
    """Anthropic's own client."""

    def look(self, model: str, surface: Surface = MESSAGES, **asked: Any) -> View:  # noqa: ANN401 - JSON values
        """Ask with the admin's key."""
        token = PRESENT.set(surface)
        headers = {"x-api-key": ADMIN_KEY} | asked.pop("headers", {})
        try:
            return look(self.gateway, model, headers=headers, **asked)
        finally:
            PRESENT.reset(token)

    def last(self, model: str) -> Call:
        """The newest call of an upstream's model."""
        return self.upstream.journal.of(model)[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests here; each uses models of its own, or leaves them as they were."""
    with Upstream() as upstream:
        rescued = {"retries": 0, "prefill": True}
        toml = document(
            provider("a", upstream.base_url, dialect="anthropic", api_key_env="OPERATOR_KEY"),
            provider("o", upstream.base_url),
            llm("claude", "a"),
            llm("gpt", "o"),
            llm("claude-first", "a", fallbacks=["gpt-second"], retries=0),
            llm("gpt-second", "o", **rescued),
            llm("gpt-first", "o", fallbacks=["claude-second"], retries=0),
            llm("claude-second", "a", **rescued),
            llm("claude-restarts", "a", fallbacks=["claude-again"], retries=0),
            llm("claude-again", "a"),
            llm("claude-whole", "a", fallbacks=["claude-again"], stream_guarantee="whole", retries=0),
            llm("scarce", "o", requests_per_minute=1),
            llm("kept", "a", prompts="full"),
            llm("kept-gpt", "o", prompts="full"),
        )
        env = {"TRISTAR_ADMIN_KEY": ADMIN_KEY, "OPERATOR_KEY": "sk-canary-operator"}
        gateway = Gateway(tmp_path_factory.mktemp("messages"), toml=toml, env=env)
        with watched(gateway):
            gateway.start()
            with anthropic.Anthropic(base_url=gateway.url, api_key=ADMIN_KEY, max_retries=0) as sdk:
                yield Place(gateway, upstream, sdk)
            assert_books_balance(gateway)


def test_headers_reach_the_providers_that_know_them(place: Place) -> None:
    """Betas and the version of Anthropic's API, and the operator's key in place of the client's."""
    headers = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2024-01-01"}
    foreign = {"openai-organization": "org-1"}
    for model in ("claude", "gpt"):
        place.look(model, headers=headers | foreign)
    claude, gpt = place.last("claude"), place.last("gpt")

    assert claude.path == "/v1/messages"
    assert claude.header("anthropic-beta") == "context-1m-2025-08-07"
    assert claude.header("anthropic-version") == "2024-01-01"
    assert claude.header("x-api-key") == "sk-canary-operator"
    assert claude.header("openai-organization") is None
    assert gpt.header("anthropic-beta") is None
    assert gpt.header("x-api-key") is None
    assert gpt.header("openai-organization") == "org-1"


def test_the_version_is_supplied(place: Place) -> None:
    """A chat client names none, and Anthropic's API wants one."""
    place.look("claude", CHAT)

    assert place.last("claude").header("anthropic-version") == "2023-06-01"


@BOTH_WAYS
def test_bytes_go_through_where_the_formats_are_the_same(place: Place, *, stream: bool) -> None:
    """Thoughts with their signature, tool calls, unknown fields: as client and upstream wrote them."""
    place.upstream.on("claude", THOUGHTFUL)
    asked: dict[str, Any] = {"context_management": {"edits": []}, "new_field": [1, {"a": None}]}
    view = place.look("claude", stream=stream, **asked)
    call = place.last("claude")
    direct = httpx.post(place.upstream.base_url + "/messages", content=call.body)
    place.upstream.on("claude", Answer())

    assert {name: call.json[name] for name in asked} == asked
    assert view.body == direct.content


def test_what_is_tristars_own_is_not_sent_upstream(place: Place) -> None:
    """`fallbacks` and `memory` work as in chats; the memory's note follows the system prompt."""
    place.gateway.request(
        "POST",
        "/v1/memory",
        headers={"x-api-key": ADMIN_KEY},
        json={"content": "Zanzibar lives in rack 7", "project": "m"},
    )
    place.upstream.on("claude-first", Status(529))
    question = [{"role": "user", "content": [{"type": "text", "text": "Where does zanzibar live?"}]}]
    view = place.look(
        "claude-first", system="Be brief.", messages=question, memory={"project": "m"}, fallbacks=["claude"]
    )
    sent = place.last("claude").json

    assert view.complete
    assert not {"memory", "fallbacks"} & set(sent)
    assert sent["system"][0] == {"type": "text", "text": "Be brief."}
    assert sent["system"][1]["text"].endswith("Zanzibar lives in rack 7")


def assert_one_message(view: View) -> None:
    """The events of one message in order, its text whole, each block ended once."""
    kinds = [event["type"] for event in view.events if event["type"] != "content_block_delta"]

    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert view.text == Answer().text
    assert view.complete


def test_a_stream_cut_at_one_dialect_is_carried_on_by_another(place: Place) -> None:
    """On messages from Anthropic's dialect to OpenAI's: a prefill, and it stays one message."""
    place.upstream.on("claude-first", Answer(fault=Cut(after=5)))
    place.upstream.on("gpt-second", Answer(words=WORDS[3:], tokens=(20, 3)))
    view = place.look("claude-first", stream=True)
    details = place.gateway.record_of(view.trace_id).details

    assert_one_message(view)
    assert place.last("gpt-second").json["messages"][-1] == {
        "role": "assistant",
        "content": "Three stars guide",
    }
    assert view.usage is not None
    assert view.usage["output_tokens"] == details["tokens_output"] > 3


def test_a_chat_is_carried_on_by_anthropics_prefill(place: Place) -> None:
    """The other way round: the text so far is the last, assistant's, turn."""
    place.upstream.on("gpt-first", Answer(fault=Cut(after=4)))
    place.upstream.on("claude-second", Answer(words=WORDS[3:]))
    view = place.look("gpt-first", CHAT, stream=True)

    assert (view.text, view.done) == (Answer().text, True)
    assert place.last("claude-second").json["messages"][-1] == {
        "role": "assistant",
        "content": "Three stars guide",
    }


@pytest.mark.parametrize("after", [3, 5, 8, 9])
def test_a_restart_stays_one_message(place: Place, after: int) -> None:
    """Cut in a block, at its last word, at its end, at the stop reason: Anthropic's own events go on."""
    place.upstream.on("claude-restarts", Answer(fault=Cut(after=after)))
    view = place.look("claude-restarts", stream=True)

    assert_one_message(view)


def test_white_space_at_the_end_of_a_prefill_is_left_to_the_llm(place: Place) -> None:
    """Anthropic refuses it there: the answer has to begin with it, and it is not sent twice."""
    words = ("Three ", "stars ", "guide ", "one ship.")
    place.upstream.on("gpt-first", Answer(words=words, fault=Cut(after=3)))
    place.upstream.on("claude-second", Answer(words=(" guide", " one ship.")))
    view = place.look("gpt-first", CHAT, stream=True)

    assert place.last("claude-second").json["messages"][-1]["content"] == "Three stars"
    assert (view.text, view.done) == ("Three stars guide one ship.", True)


OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded just now"}}'


@pytest.mark.parametrize("surface", [MESSAGES, CHAT], ids=["messages", "chat"])
def test_an_error_event_before_the_first_token_is_tried_again(place: Place, surface: Surface) -> None:
    """Anthropic fails inside a stream, too."""
    place.upstream.on("claude", Answer(fault=Malformed(at=1, data=OVERLOADED)), Answer())
    view = place.look("claude", surface, stream=True)

    assert view.complete
    assert view.text == Answer().text
    assert place.gateway.record_of(view.trace_id).statuses == ["error", "success"]


@pytest.mark.parametrize("surface", [MESSAGES, CHAT], ids=["messages", "chat"])
def test_an_error_event_amid_a_stream_ends_it(place: Place, surface: Surface) -> None:
    """With the provider's reason in the surface's own format, and no terminator."""
    place.upstream.on("claude", Answer(fault=Malformed(at=4, data=OVERLOADED), gap_s=0.05))
    view = place.look("claude", surface, stream=True)
    place.upstream.on("claude", Answer())

    assert view.text
    assert view.error is not None
    assert "Overloaded just now" in view.error["message"]
    assert not view.done


def test_an_answer_held_back_is_one_message(place: Place) -> None:
    """`stream_guarantee = "whole"`: nothing of the stream that broke is seen."""
    place.upstream.on("claude-whole", Answer(words=("Four", " moons"), fault=Cut(after=4)))
    view = place.look("claude-whole", stream=True)

    assert_one_message(view)
    assert view.model == "claude-again"


@BOTH_WAYS
def test_tokens_that_nobody_counted_are_estimates_everywhere(place: Place, *, stream: bool) -> None:
    """A message must have a usage: the client is told what is in the books."""
    place.upstream.on("gpt", Answer(report_usage=False))
    view = place.look("gpt", stream=stream)
    place.upstream.on("gpt", Answer())
    details = place.gateway.record_of(view.trace_id).details

    assert details["tokens_source"] == "estimated"
    assert view.usage is not None
    assert view.usage["input_tokens"] == details["tokens_input"] > 0
    assert view.usage["output_tokens"] == details["tokens_output"] > 0


def test_an_llm_that_cannot_be_told_is_passed_over(place: Place) -> None:
    """A seed means nothing to Anthropic: the fallback that knows it answers, and nothing is sent in vain."""
    calls = len(place.upstream.journal.of("claude-first"))
    place.upstream.on("gpt-second", Answer())
    view = place.look("claude-first", CHAT, seed=7)

    assert (view.status, view.llm) == (200, "gpt-second")
    assert view.headers["x-tristar-attempts"] == "1"
    assert len(place.upstream.journal.of("claude-first")) == calls


def test_what_no_llm_can_be_told_is_refused(place: Place) -> None:
    """400 that names the field, before anything is sent."""
    view = place.look("claude", CHAT, logprobs=True)

    assert view.status == 400
    assert view.error is not None
    assert (view.error["code"], view.error["param"]) == ("unsupported_by_provider", "logprobs")


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "mood": 1}]}]}, "mood"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "container_upload"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"tools": [{"name": "a", "input_schema": {}, "defer_loading": True}]}, "defer_loading"),
        ({"tool_choice": {"type": "often"}}, "tool_choice"),
        ({"max_tokens": "many"}, "max_tokens"),
    ],
)
def test_nothing_inside_a_request_is_dropped_in_silence(place: Place, asked: Any, field: str) -> None:  # noqa: ANN401
    """What cannot be translated is 400 in Anthropic's envelope, and says where it is."""
    view = place.look("gpt", **asked)

    assert view.status == 400
    assert view.error is not None
    assert view.error["type"] == "invalid_request_error"
    assert field in view.error["message"]


def test_tokens_are_counted_by_anthropic_where_it_can(place: Place) -> None:
    """Passed through; to count costs no tokens, and is an attempt like any other."""
    counted = place.sdk.messages.with_raw_response.count_tokens(model="claude", messages=[HI])
    record = place.gateway.record_of(counted.headers["x-tristar-trace-id"])

    assert counted.parse().input_tokens == 14
    assert place.last("claude").path == "/v1/messages/count_tokens"
    assert record.statuses == ["success"]
    assert (record.details["tokens_input"], record.details["tokens_output"]) == (0, 0)


def test_elsewhere_tokens_are_estimated_and_it_says_so(place: Place) -> None:
    """No upstream is asked; system prompt and tools count."""
    calls = len(place.upstream.journal.calls)
    short, long = (
        place.sdk.messages.with_raw_response.count_tokens(model="gpt", messages=[HI], system=system)
        for system in ("s", "s" * 400)
    )

    assert short.headers["x-tristar-estimated"] == "input_tokens"
    assert 99 <= long.parse().input_tokens - short.parse().input_tokens <= 100
    assert len(place.upstream.journal.calls) == calls


@pytest.mark.parametrize("key", [None, "sk-wrong"])
def test_a_wrong_key_is_anthropics_authentication_error(place: Place, key: str | None) -> None:
    """In its envelope, with the request's id; under either header."""
    for headers in ({"x-api-key": key}, {"authorization": f"Bearer {key}"}) if key else ({},):
        answer = httpx.post(place.gateway.url + "/v1/messages", headers=headers, json={})
        told = answer.json()

        assert answer.status_code == 401
        assert (told["type"], told["error"]["type"]) == ("error", "authentication_error")
        assert told["request_id"] == answer.headers["x-request-id"]


def test_the_sdk_raises_its_own_errors(place: Place) -> None:
    """An unknown model, a body that is no JSON, a spent limit."""
    with pytest.raises(anthropic.NotFoundError):
        place.sdk.messages.create(model="none", max_tokens=1, messages=[HI])
    place.sdk.messages.create(model="scarce", max_tokens=1, messages=[HI])
    with pytest.raises(anthropic.RateLimitError) as limited:
        place.sdk.messages.create(model="scarce", max_tokens=1, messages=[HI])
    broken = httpx.post(
        place.gateway.url + "/v1/messages", headers={"x-api-key": ADMIN_KEY}, content=b'{"model":'
    )

    assert limited.value.response.headers["retry-after"]
    assert limited.value.response.headers["x-ratelimit-limit-requests"] == "1"
    assert (broken.status_code, broken.json()["error"]["type"]) == (400, "invalid_request_error")


def test_the_sdk_lists_models(place: Place) -> None:
    """One page, each with a name to show."""
    listed = place.sdk.models.list()

    assert {model.id for model in listed} >= {"claude", "gpt"}
    assert all(model.display_name == model.id and model.type == "model" for model in listed)


@BOTH_WAYS
@pytest.mark.parametrize("model", ["kept", "kept-gpt"])
def test_words_are_kept_as_in_chats(place: Place, model: str, *, stream: bool) -> None:
    """The system prompt, the question, the answer and the tools that it calls."""
    place.upstream.on(model, Answer(tools=(ToolCall("weather", '{"city":"Kiel"}'),)))
    view = place.look(model, stream=stream, system="Be brief.")
    details = place.gateway.record_of(view.trace_id).details
    kept = json.dumps(details["answer"])

    assert [message["role"] for message in details["prompt"]] == ["system", "user"]
    assert Answer().text in kept
    assert "weather" in kept
    assert "Kiel" in kept
