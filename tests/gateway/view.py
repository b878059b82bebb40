"""What a client sees of one chat: every byte, its meaning, and how it ended."""

import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.gateway.process import Gateway


@dataclass
class View:
    """One answer as it reached the client.

    `text`, `model`, `finish`, `usage` are read from the body or gathered from the stream's
    events; `error` is the envelope's or the error event's content; `done` says that `[DONE]` or
    `message_stop` came; `cut` that the connection ended before the body did. `seconds` is the whole time.
    """

    status: int = 0
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    vectors: list[list[float]] = field(default_factory=list)
    model: str | None = None
    finish: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False
    cut: bool = False
    seconds: float = 0.0

    @property
    def trace_id(self) -> str | None:
        """`x-tristar-trace-id`."""
        return _optional(self.headers, "x-tristar-trace-id")

    @property
    def llm(self) -> str | None:
        """`x-tristar-llm`."""
        return _optional(self.headers, "x-tristar-llm")

    @property
    def complete(self) -> bool:
        """It looks like a whole answer to an SDK."""
        ended = self.finish is not None or bool(self.vectors)
        return self.status == 200 and self.error is None and not self.cut and ended


@dataclass(frozen=True)
class Surface:
    """One API on which llms are called: its path, the body of a call, and how an answer is read.

    `ask(model, stream)` is the body, to which a test may add; `read(view)` fills the view's fields from
    its body.
    """

    path: str
    ask: Callable[[str, bool], dict[str, object]]
    read: Callable[[View], None]


def look(
    gateway: Gateway,
    model: str,
    *,
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
    **body: Any,  # noqa: ANN401 - JSON values, and a test may pass them on as one mapping
) -> View:
    """Ask once, on the present surface, and read the answer to its end, whatever that is."""
    surface = PRESENT.get()
    asked: dict[str, object] = surface.ask(model, stream) | body
    view = View()
    began = time.monotonic()
    sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    with httpx.Client(
        timeout=30.0, trust_env=False, verify=False
    ) as http:  # plain HTTP: load no certificates
        try:
            with http.stream("POST", gateway.url + surface.path, json=asked, headers=sent) as answer:
                view.status, view.headers = answer.status_code, answer.headers
                for piece in answer.iter_bytes():
                    view.body += piece
        except httpx.TransportError:
            view.cut = True
    view.seconds = time.monotonic() - began
    surface.read(view)
    return view


def _ask_chat(model: str, stream: bool) -> dict[str, object]:
    asked: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return asked | {"stream": True} if stream else asked


def request_bytes(model: str, *, stream: bool = False) -> bytes:
    """One request on the present surface as it goes on the wire."""
    surface = PRESENT.get()
    body = json.dumps(surface.ask(model, stream)).encode()
    head = f"POST {surface.path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _understand(view: View) -> None:
    if view.headers.get("content-type", "").startswith("text/event-stream"):
        _read_events(view)
        return
    try:
        body = json.loads(view.body)
    except ValueError:
        return
    view.error = body.get("error")
    _note(view, body)
    for choice in body.get("choices", []):
        view.text = choice["message"].get("content") or ""
        view.finish = choice["finish_reason"]


def _read_events(view: View) -> None:
    for event in view.body.split(b"\n\n"):
        for line in event.split(b"\n"):
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                view.done = True
                continue
            chunk = json.loads(data)  # a malformed event must never reach a client
            view.events.append(chunk)
            view.error = chunk.get("error") or view.error
            _note(view, chunk)
            for choice in chunk.get("choices", []):
                view.text += choice["delta"].get("content") or ""
                view.finish = choice["finish_reason"] or view.finish


def _ask_embeddings(model: str, stream: bool) -> dict[str, object]:
    assert not stream, "embeddings are never streamed"
    return {"model": model, "input": ["hi", "ho"], "encoding_format": "float"}


def _read_vectors(view: View) -> None:
    try:
        body = json.loads(view.body)
    except ValueError:
        return
    view.error = body.get("error")
    view.vectors = [each["embedding"] for each in body.get("data", [])]
    _note(view, body)


def _ask_messages(model: str, stream: bool) -> dict[str, object]:
    return _ask_chat(model, stream) | {"max_tokens": 100}


def _read_message(view: View) -> None:
    if view.headers.get("content-type", "").startswith("text/event-stream"):
        for event in view.body.split(b"\n\n"):
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    _read_message_event(view, json.loads(line[5:]))
        return
    try:
        body = json.loads(view.body)
    except ValueError:
        return
    view.error = body.get("error")
    _note(view, body)
    view.text = "".join(block.get("text", "") for block in body.get("content", []))
    view.finish = body.get("stop_reason")


def _read_message_event(view: View, event: dict[str, Any]) -> None:
    view.events.append(event)
    match event["type"]:
        case "message_start":
            _note(view, event["message"])
        case "content_block_delta":
            view.text += event["delta"].get("text", "")
        case "message_delta":
            view.finish = event["delta"]["stop_reason"]
            view.usage = {**(view.usage or {}), **event.get("usage", {})}
        case "message_stop":
            view.done = True
        case "error":
            view.error = event["error"]


def _ask_response(model: str, stream: bool) -> dict[str, object]:
    asked: dict[str, object] = {"model": model, "input": "hi"}
    return asked | {"stream": True} if stream else asked


def _read_response(view: View) -> None:
    if view.headers.get("content-type", "").startswith("text/event-stream"):
        for event in view.body.split(b"\n\n"):
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    _read_response_event(view, json.loads(line[5:]))
        return
    try:
        body = json.loads(view.body)
    except ValueError:
        return
    view.error = body.get("error")
    _note_response(view, body)


def _note_response(view: View, body: dict[str, Any]) -> None:
    _note(view, body)
    parts = [part for item in body.get("output", []) for part in item.get("content", [])]
    view.text = "".join(part.get("text", "") for part in parts)
    if body.get("status") in {"completed", "incomplete"}:
        view.finish = body["status"]


def _read_response_event(view: View, event: dict[str, Any]) -> None:
    numbers = [each["sequence_number"] for each in view.events]
    assert event["sequence_number"] > max(numbers, default=-1), "events of a response are numbered in order"
    view.events.append(event)
    match event["type"]:
        case "response.created":
            _note(view, event["response"])
        case "response.output_text.delta":
            view.text += event["delta"]
        case "response.completed" | "response.incomplete":
            said, view.done = view.text, True
            _note_response(view, event["response"])
            view.text = said  # as it came: an upstream's own last event also tells what was lost on the way
        case "error":
            view.error = event


def _note(view: View, body: dict[str, Any]) -> None:
    view.model = body.get("model") or view.model
    view.usage = body.get("usage") or view.usage


def _optional(headers: httpx.Headers, name: str) -> str | None:
    return headers[name] if name in headers else None  # noqa: SIM401 - `get` is typed Any


CHAT = Surface("/v1/chat/completions", _ask_chat, _understand)
EMBEDDINGS = Surface("/v1/embeddings", _ask_embeddings, _read_vectors)
CHAT_IN_SHORT = Surface("/v1/chat", _ask_chat, _understand)
MESSAGES = Surface("/v1/messages", _ask_messages, _read_message)
RESPONSES = Surface("/v1/responses", _ask_response, _read_response)
SURFACES = {"chat": CHAT}
"""The surfaces on which every test of `tests/faults` runs; the table of faults runs on all there are."""

PRESENT: ContextVar[Surface] = ContextVar("surface", default=CHAT)
"""What `look` asks on."""
