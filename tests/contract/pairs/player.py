"""Upstreams that play recorded answers, in whichever dialect they are called."""

import json
from dataclasses import dataclass
from urllib.parse import unquote

from tests.contract.pairs.answers import NATIVE, PLAYED, PLAYED_ERRORS, Json
from tests.upstream import Call, Status, Step, Upstream
from tests.upstream.stage import Stage
from tests.upstream.wire import head


def slug(name: str) -> str:
    """A cassette's name as a model's."""
    return name.replace(" ", "-")


def model_of(call: Call) -> str:
    """The model that is called: in the body, or with Google in the path."""
    return call.model or unquote(call.path).partition("/models/")[2].partition(":")[0]


@dataclass(frozen=True)
class Played:
    """One recorded answer, whole or streamed as it is asked for."""

    dialect: str
    recorded: Json

    async def play(self, stage: Stage) -> None:
        """Send it."""
        call = stage.call
        streamed = call.streamed or "streamGenerateContent" in call.path
        body = self._events() if streamed else json.dumps(self.recorded["whole"]).encode()
        kind = "text/event-stream" if streamed else "application/json"
        stage.answered(200)
        await stage.send(head(200, [("content-type", kind), ("content-length", str(len(body)))]) + body)
        stage.finished()

    def _events(self) -> bytes:
        events = [json.dumps(event).encode() for event in self.recorded["events"]]
        if self.dialect in {"anthropic", NATIVE}:
            kinds = [event["type"].encode() for event in self.recorded["events"]]
            pairs = zip(kinds, events, strict=True)
            return b"".join(b"event: %b\ndata: %b\n\n" % pair for pair in pairs)
        ending = [b"[DONE]"] if self.dialect == "openai" else []
        newline = b"\r\n" if self.dialect == "gemini" else b"\n"
        return b"".join(b"data: " + event + newline * 2 for event in [*events, *ending])


class Player(Upstream):
    """The upstream of one dialect: each model is one recorded answer or error; others answer `text`."""

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self._dialect = dialect

    def step_for(self, call: Call) -> Step:
        """See `Upstream.step_for`."""
        if call.path.endswith("/count_tokens"):
            return Status(200, body=b'{"input_tokens":2095}')
        named = model_of(call)
        for name, recorded in PLAYED[self._dialect].items():
            if slug(name) == named:
                return Played(self._dialect, recorded)
        for name, (status, body) in PLAYED_ERRORS[self._dialect].items():
            if slug(name) == named:
                return Status(status, body=json.dumps(body).encode())
        return Played(self._dialect, PLAYED[self._dialect]["text"])
