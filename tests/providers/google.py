"""Google's own SDK over a wire that only remembers: what it sends, and what it makes of an answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
from google import genai
from google.genai import types

Json = dict[str, Any]
T = TypeVar("T")

CASSETTES: dict[str, Json] = json.loads((Path(__file__).parent / "cassettes/gemini.json").read_text())
"""Answers as Google's published reference of generateContent has them: whole, and as events of a stream."""


class Wire:
    """A client of the SDK, and the last request that it made; every request gets `answer`."""

    def __init__(self, answer: Json | list[Json]) -> None:
        self.url = ""
        self.body: Json = {}
        self._answer = answer
        http = httpx.Client(transport=httpx.MockTransport(self._serve))
        options = types.HttpOptions(base_url="http://google.test", httpx_client=http)
        self.client = genai.Client(api_key="k", http_options=options)

    def _serve(self, request: httpx.Request) -> httpx.Response:
        self.url, self.body = str(request.url), json.loads(request.content)
        if isinstance(self._answer, dict):
            return httpx.Response(200, json=self._answer)
        events = b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in self._answer)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=events)


def sent_by_the_sdk(contents: list[types.Content], config: types.GenerateContentConfig) -> Json:
    """The body that the SDK makes of these, its names in one spelling."""
    wire = Wire(CASSETTES["text"]["whole"])
    wire.client.models.generate_content(
        model="gemini-2.5-flash", contents=cast("Any", contents), config=config
    )
    return spelt(wire.body)


def read_by_the_sdk(answer: Json) -> types.GenerateContentResponse:
    """What the SDK reads in a whole answer."""
    return Wire(answer).client.models.generate_content(model="m", contents="q")


def streamed_to_the_sdk(events: list[Json]) -> list[types.GenerateContentResponse]:
    """What the SDK reads in a stream."""
    return list(Wire(events).client.models.generate_content_stream(model="m", contents="q"))


def spelt(body: Json) -> Json:
    """Google takes names in either spelling, and the SDK mixes them.

    A system prompt's role and an empty configuration mean nothing.
    """
    told: Json = _walk(body, _camel)
    if not told.get("generationConfig"):
        told.pop("generationConfig", None)
    told.get("systemInstruction", {}).pop("role", None)
    for request in told.get("requests", []):
        request["content"].pop("role", None)
    return told


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _walk(value: Any, spell: Callable[[str], str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {spell(name): _walk(each, spell) for name, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, spell) for each in value]
    return value
