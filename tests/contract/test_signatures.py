"""What a provider signs comes back to it with the next turn, from every surface, by the official SDKs."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest
from tests.contract.pairs.answers import CASSETTES, DIALECTS, SURFACES
from tests.contract.pairs.player import Player, slug
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.upstream import Upstream

HI: Any = {"role": "user", "content": "hi"}
TOOLS = ("weather", "tide")
SIGNED = CASSETTES["anthropic"]["thoughts and cache"]["whole"]["content"][0]
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
every_surface = pytest.mark.parametrize("surface", SURFACES)


@dataclass(frozen=True)
class Talk:
    """A gateway before one upstream of each dialect; clients that send back what they were answered."""

    gateway: Gateway
    upstreams: dict[str, Upstream]

    def turn(self, surface: str, model: str, *, stream: bool, then: str = "") -> None:
        """Ask, answer the calls if there are any, and ask again: the same llm, or another."""
        getattr(self, f"_{surface}")(model, then or model, stream)

    def sent(self, dialect: str) -> Any:  # noqa: ANN401 - a JSON value
        """The newest request that reached an upstream."""
        return self.upstreams[dialect].journal.calls[-1].json

    def _chat(self, model: str, then: str, stream: bool) -> None:
        with openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key="none", max_retries=0) as sdk:
            if stream:
                with sdk.chat.completions.stream(model=model, messages=[HI]) as events:
                    message: Any = events.get_final_completion().choices[0].message
            else:
                message = sdk.chat.completions.create(model=model, messages=[HI]).choices[0].message
            told = message.model_dump(exclude_none=True, exclude={"parsed"})
            results = [
                {"role": "tool", "tool_call_id": call["id"], "content": "clear"}
                for call in told.get("tool_calls", ())
            ]
            later: Any = [HI, told, *(results or [HI])]
            sdk.chat.completions.create(model=then, messages=later)

    def _messages(self, model: str, then: str, stream: bool) -> None:
        with anthropic.Anthropic(base_url=self.gateway.url, api_key="none", max_retries=0) as sdk:
            if stream:
                with sdk.messages.stream(model=model, max_tokens=9, messages=[HI]) as events:
                    message: Any = events.get_final_message()
            else:
                message = sdk.messages.create(model=model, max_tokens=9, messages=[HI])
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "clear"}
                for block in message.content
                if block.type == "tool_use"
            ]
            answer: Any = {"role": "user", "content": results} if results else HI
            said: Any = {"role": "assistant", "content": message.content}
            sdk.messages.create(model=then, max_tokens=9, messages=[HI, said, answer])

    def _responses(self, model: str, then: str, stream: bool) -> None:
        with openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key="none", max_retries=0) as sdk:
            if stream:
                with sdk.responses.stream(model=model, input=[HI]) as events:
                    events.until_done()
                    response: Any = events.get_final_response()
            else:
                response = sdk.responses.create(model=model, input=[HI])
            output = [item.model_dump(exclude={"parsed_arguments"}) for item in response.output]
            results: Any = [
                {"type": "function_call_output", "call_id": item.call_id, "output": "clear"}
                for item in response.output
                if item.type == "function_call"
            ]
            sdk.responses.create(model=then, input=[HI, *output, *(results or [HI])])


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """One for all tests."""
    with ExitStack() as stack:
        native = stack.enter_context(Upstream())
        upstreams: dict[str, Upstream] = {"native": native}
        tables = [provider("native", native.base_url, responses=True), llm("native", "native")]
        for name in DIALECTS:
            upstream = upstreams[name] = stack.enter_context(Player(name))
            tables.append(provider(name, upstream.base_url, dialect=name, api_key_env="SIGNED_KEY"))
            tables += [llm(f"{name}.{slug(case)}", name, model=slug(case)) for case in CASSETTES[name]]
        gateway = Gateway(
            tmp_path_factory.mktemp("signed"), toml=document(*tables), env={"SIGNED_KEY": "sk-canary"}
        )
        stack.enter_context(watched(gateway))
        yield Talk(gateway.start(), upstreams)


def signatures(contents: Any) -> list[tuple[str, str | None]]:  # noqa: ANN401 - a JSON value
    """The calls of a request in Google's words, each with its signature."""
    return [
        (part["functionCall"]["name"], part.get("thoughtSignature"))
        for content in contents
        for part in content["parts"]
        if "functionCall" in part
    ]


@every_surface
@both_ways
def test_a_gemini_calls_signature_comes_back_with_the_call(talk: Talk, surface: str, *, stream: bool) -> None:
    """At the call that it came with, and at no other."""
    talk.turn(surface, "gemini.parallel-calls", stream=stream)

    assert signatures(talk.sent("gemini")["contents"]) == [("weather", "c2ln"), ("tide", None)]


@every_surface
@both_ways
def test_signed_thoughts_come_back_to_an_anthropic_model(talk: Talk, surface: str, *, stream: bool) -> None:
    """Text and signature, as they were, before what was said."""
    talk.turn(surface, "anthropic.thoughts-and-cache", stream=stream)

    assert talk.sent("anthropic")["messages"][1]["content"] == [SIGNED, {"type": "text", "text": "Three."}]


@every_surface
@both_ways
@pytest.mark.parametrize(
    "model", ["gemini.parallel-calls", "gemini.thoughts-and-cache", "openai.thoughts-and-cache"]
)
def test_an_anthropic_model_is_not_shown_the_thoughts_of_others(
    talk: Talk, surface: str, model: str, *, stream: bool
) -> None:
    """It would refuse what it has not signed itself; what was said and called stays."""
    talk.turn(surface, model, stream=stream, then="anthropic.text")
    content = talk.sent("anthropic")["messages"][1]["content"]
    kinds = ["text"] if isinstance(content, str) else [block["type"] for block in content]

    assert kinds == (["text", "tool_use", "tool_use"] if "calls" in model else ["text"])


@both_ways
@pytest.mark.parametrize("model", ["gemini.parallel-calls", "anthropic.thoughts-and-cache"])
def test_a_provider_with_responses_is_not_shown_the_signatures_of_others(
    talk: Talk, model: str, *, stream: bool
) -> None:
    """It could not decrypt them; everything else goes through as it came."""
    talk.turn("responses", model, stream=stream, then="native")
    items = talk.sent("native")["input"]

    assert "reasoning" not in [item.get("type") for item in items]
    assert [item["name"] for item in items if item.get("type") == "function_call"] == (
        list(TOOLS) if "calls" in model else []
    )
