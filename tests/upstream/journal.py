"""What the upstream saw: connections, calls, how far each answer got, who left when."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import unquote

from tests.upstream import gemini

Form = Literal["chat", "embeddings", "messages", "responses", "gemini"]
_FORMS: dict[str, Form] = {
    "/chat/completions": "chat",
    "/embeddings": "embeddings",
    "/messages": "messages",
    "/responses": "responses",
}


@dataclass
class Connection:
    """One accepted connection. Times are `time.monotonic()` seconds."""

    number: int
    opened_s: float
    closed_s: float | None = None
    bytes_received: int = 0
    calls: int = 0


@dataclass
class Call:
    """One request as it arrived, and how far its answer got.

    `status` is None while no answer has begun. `events_sent` counts server-sent events (without
    `[DONE]`) handed to the kernel, `bytes_sent` every byte. `finished_s` is set when the step was
    played to its end, `gone_s` when the client left before that: never both.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    started_s: float
    step: str = ""
    status: int | None = None
    events_sent: int = 0
    bytes_sent: int = 0
    finished_s: float | None = None
    gone_s: float | None = None

    @property
    def cancelled(self) -> bool:
        """The client went away before the answer was complete."""
        return self.gone_s is not None

    @property
    def ended(self) -> bool:
        """Nothing more will happen to this call."""
        return self.finished_s is not None or self.gone_s is not None

    @property
    def json(self) -> dict[str, Any]:
        """The body as an object; {} for anything else."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return cast("dict[str, Any]", body) if isinstance(body, dict) else {}

    @property
    def form(self) -> Form | None:
        """The format of the path that it came on; None where that is none of a chat's or embeddings'."""
        path = self.path.partition("?")[0]
        if gemini.PATH.fullmatch(path):
            return "gemini"
        return next((form for end, form in _FORMS.items() if path.endswith(end)), None)

    @property
    def model(self) -> str:
        """The model that was asked for, or an empty string."""
        named = gemini.PATH.fullmatch(self.path.partition("?")[0])
        if named:
            return unquote(named[1])
        model = self.json.get("model", "")
        return model if isinstance(model, str) else ""

    @property
    def streamed(self) -> bool:
        """A stream was asked for."""
        if self.form == "gemini":
            return ":stream" in self.path
        return self.json.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        """`stream_options.include_usage` was asked for."""
        options = self.json.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def header(self, name: str) -> str | None:
        """The first header of that name (any case), or None."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


@dataclass
class Journal:
    """The upstream's own account of what happened, readable from any thread."""

    connections: list[Connection] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def note(self) -> None:
        """Tell those who wait that something changed."""
        with self._changed:
            self._changed.notify_all()

    def of(self, model: str) -> list[Call]:
        """The calls that asked for this model, in order of arrival."""
        return [call for call in list(self.calls) if call.model == model]

    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return sum(connection.closed_s is None for connection in list(self.connections))

    def wait(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Return once `holds()` is true.

        Raises:
            TimeoutError: it was not within `timeout_s`; the message lists the calls.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not holds():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not within {timeout_s} s; calls: {self.calls}")
                self._changed.wait(min(left, 0.05))  # what `holds` looks at may lie outside the journal

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """`wait` for a test that runs on an event loop."""
        await asyncio.to_thread(self.wait, holds, timeout_s)

    def wait_for_calls(self, count: int, model: str | None = None, timeout_s: float = 10.0) -> list[Call]:
        """At least `count` calls (of `model`), ended or not, once they have arrived."""

        def seen() -> list[Call]:
            return list(self.calls) if model is None else self.of(model)

        self.wait(lambda: len(seen()) >= count, timeout_s)
        return seen()
