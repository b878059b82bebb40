"""The official SDKs, and what each makes of an answer, in one set of words."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import anthropic
import openai
from anthropic.types import Message
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response
from tests.contract.pairs.answers import Heard

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's stop reasons in OpenAI's words."""

QUESTION = {"role": "user", "content": "hi"}


class Client(Protocol):
    """One surface's SDK. Extra arguments are the SDK's own."""

    def hear(self, model: str, *, stream: bool, **asked: Any) -> tuple[Heard, str]:  # noqa: ANN401 - the SDK's
        """What it understands, and the model that answered."""
        ...

    def refused(self, model: str, **asked: Any) -> tuple[int, Mapping[str, Any]]:  # noqa: ANN401 - the same
        """The status and the error of a request that fails."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...


class ChatClient:
    """OpenAI's SDK on `/v1/chat/completions`. See `Client`."""

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def hear(self, model: str, *, stream: bool, **asked: Any) -> tuple[Heard, str]:  # noqa: ANN401 - the SDK's
        """See `Client.hear`."""
        asked = {"messages": [QUESTION], **asked}
        if stream:
            asked["stream_options"] = {"include_usage": True}
            chunks = list(self.sdk.chat.completions.create(model=model, stream=True, **asked))
            return _gathered(chunks), chunks[0].model
        got = self.sdk.chat.completions.create(model=model, **asked)
        message = got.choices[0].message
        calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
        thoughts = getattr(message, "reasoning_content", None) or ""
        finish = got.choices[0].finish_reason
        return Heard(message.content or "", thoughts, _calls(calls), finish, _counted(got.usage)), got.model

    def refused(self, model: str, **asked: Any) -> tuple[int, Mapping[str, Any]]:  # noqa: ANN401 - the SDK's
        """See `Client.refused`."""
        try:
            self.hear(model, stream=False, **asked)
        except openai.APIStatusError as error:
            body = error.body
            return error.status_code, body if isinstance(body, dict) else {}
        return 200, {}

    def close(self) -> None:
        """See `Client.close`."""
        self.sdk.close()


class MessagesClient:
    """Anthropic's SDK on `/v1/messages`. See `Client`."""

    def __init__(self, url: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0)

    def hear(self, model: str, *, stream: bool, **asked: Any) -> tuple[Heard, str]:  # noqa: ANN401 - the SDK's
        """See `Client.hear`."""
        asked = {"messages": [QUESTION], "max_tokens": 100, **asked}
        if stream:
            with self.sdk.messages.stream(model=model, **asked) as events:
                message: Message = events.get_final_message()
        else:
            message = self.sdk.messages.create(model=model, **asked)
        return _understood(message), message.model

    def refused(self, model: str, **asked: Any) -> tuple[int, Mapping[str, Any]]:  # noqa: ANN401 - the SDK's
        """See `Client.refused`."""
        try:
            self.hear(model, stream=False, **asked)
        except anthropic.APIStatusError as error:
            body = error.body
            return error.status_code, body["error"] if isinstance(body, dict) else {}
        return 200, {}

    def close(self) -> None:
        """See `Client.close`."""
        self.sdk.close()


class ResponsesClient:
    """OpenAI's SDK on `/v1/responses`. See `Client`."""

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def hear(self, model: str, *, stream: bool, **asked: Any) -> tuple[Heard, str]:  # noqa: ANN401 - the SDK's
        """See `Client.hear`; of a stream the last event, which must be what the others said."""
        asked = {"input": "hi", **asked}
        if not stream:
            response = self.sdk.responses.create(model=model, **asked)
            return _responded(response), response.model
        events = list(self.sdk.responses.create(model=model, stream=True, **asked))
        last = events[-1]
        assert last.type in {"response.completed", "response.incomplete"}
        assert [event.sequence_number for event in events] == list(range(len(events)))
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert said == last.response.output_text
        assert [event.item for event in events if event.type == "response.output_item.done"] == (
            last.response.output
        )
        return _responded(last.response), last.response.model

    def refused(self, model: str, **asked: Any) -> tuple[int, Mapping[str, Any]]:  # noqa: ANN401 - the SDK's
        """See `Client.refused`."""
        try:
            self.hear(model, stream=False, **asked)
        except openai.APIStatusError as error:
            body = error.body
            return error.status_code, body if isinstance(body, dict) else {}
        return 200, {}

    def close(self) -> None:
        """See `Client.close`."""
        self.sdk.close()


CLIENTS: dict[str, Callable[[str], Client]] = {
    "chat": ChatClient,
    "messages": MessagesClient,
    "responses": ResponsesClient,
}


def _responded(response: Response) -> Heard:
    thoughts, calls = "", []
    for item in response.output:
        match item.type:
            case "reasoning":
                thoughts += "".join(part.text for part in item.summary)
            case "function_call":
                calls.append((item.name, item.arguments))
    finish = "tool_calls" if calls else "stop"
    if response.incomplete_details is not None:
        reason = response.incomplete_details.reason
        finish = "length" if reason == "max_output_tokens" else str(reason)
    usage = response.usage
    assert usage is not None
    tokens = (
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens_details.cached_tokens,
        usage.output_tokens_details.reasoning_tokens,
    )
    return Heard(response.output_text, thoughts, _calls(calls), finish, tokens)


def _gathered(chunks: list[ChatCompletionChunk]) -> Heard:
    text = thoughts = finish = ""
    calls: dict[int, tuple[str, str]] = {}
    usage = None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thoughts += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for part in choice.delta.tool_calls or ():
                name, arguments = calls.get(part.index, ("", ""))
                assert part.function is not None
                calls[part.index] = (
                    name or part.function.name or "",
                    arguments + (part.function.arguments or ""),
                )
    return Heard(text, thoughts, _calls(list(calls.values())), finish, _counted(usage))


def _calls(calls: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """With their arguments in one spelling."""
    return tuple((name, _spelt(json.loads(arguments or "{}"))) for name, arguments in calls)


def _spelt(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _counted(usage: Any) -> tuple[int, int, int, int]:  # noqa: ANN401 - SDK's, of either API
    assert usage is not None
    sent, written = usage.prompt_tokens_details, usage.completion_tokens_details
    read = (sent.cached_tokens or 0) if sent else 0
    thought = (written.reasoning_tokens or 0) if written else 0
    return usage.prompt_tokens, usage.completion_tokens, read, thought


def _understood(message: Message) -> Heard:
    text = thoughts = ""
    calls = []
    for block in message.content:
        match block.type:
            case "text":
                text += block.text
            case "thinking":
                thoughts += block.thinking
            case "tool_use":
                calls.append((block.name, _spelt(block.input)))
    usage = message.usage
    read = usage.cache_read_input_tokens or 0
    sent = usage.input_tokens + read + (usage.cache_creation_input_tokens or 0)
    details = usage.output_tokens_details
    thought = details.thinking_tokens if details else 0
    finish = FINISHES[message.stop_reason or ""]
    return Heard(text, thoughts, tuple(calls), finish, (sent, usage.output_tokens, read, thought))
