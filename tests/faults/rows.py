"""The table of upstream faults as data: what the upstream does, and what everybody must see of it.

One row is one fault. A case is a row on one surface, streamed or not, with llms of its own; where the
surface's name goes on with `-to-DIALECT` they are providers of that dialect, else of OpenAI's.
"""

from dataclasses import dataclass, replace
from typing import Literal

from tests.gateway.view import CHAT, CHAT_IN_SHORT, EMBEDDINGS, MESSAGES, RESPONSES, Surface
from tests.upstream import (
    Answer,
    CloseBeforeHeaders,
    Cut,
    Garbage,
    Hang,
    Malformed,
    ResetBeforeHeaders,
    Stall,
    Status,
    Step,
    bad_key,
    content_filter,
    context_length_exceeded,
)

By = Literal["primary", "spare", "nobody"]
Attempt = tuple[str, str | None]
"""How an attempt ended: its status and its error type."""

OK: Attempt = ("success", None)
SERVER_ERROR: Attempt = ("error", "server_error")
LIMITED: Attempt = ("rate_limited", "rate_limited")
CONNECT: Attempt = ("error", "connect")
BROKEN: Attempt = ("error", "broken")
SILENT: Attempt = ("timeout", "timeout")
GONE: Attempt = ("cancelled", "client_gone")

WHOLE, STREAMED = "whole", "streamed"
BOTH = (WHOLE, STREAMED)
ALL_SURFACES: dict[str, Surface] = {
    "chat": CHAT,
    "chat-in-short": CHAT_IN_SHORT,
    "chat-to-anthropic": CHAT,
    "chat-to-gemini": CHAT,
    "embeddings": EMBEDDINGS,
    "messages": MESSAGES,
    "messages-to-anthropic": MESSAGES,
    "messages-to-gemini": MESSAGES,
    "responses": RESPONSES,
    "responses-to-anthropic": RESPONSES,
    "responses-to-gemini": RESPONSES,
    "responses-to-responses": RESPONSES,
}
"""Providers of the dialect `responses` are OpenAI's that have responses themselves."""

WELL = Answer()
OTHERWISE = Answer(words=("Something", " else", "."))
NOT_AT = {
    "content-filter-400": "gemini",  # it says so in an answer of status 200
    "content-filter-403": "gemini",
    "no-done": "responses",  # without its last event a response is cut off
}
"""Faults that a dialect cannot have."""


@dataclass(frozen=True)
class Row:
    """One fault.

    `steps` is what the primary does, `met` how its attempts end, `by` who answers. With nobody the client
    gets `status` and an error that contains `says`; `counted` is the status in metrics and record where it
    is another (a stream that ended in an error event was begun with 200). `provider` is where the primary
    llm lives; `alone` leaves it without a fallback. `hung_up` says that the gateway ends the last call of the
    primary itself; `partial` that output had been sent; `rescued` that the spare went on with it.
    """

    fault: str
    steps: tuple[Step, ...]
    met: tuple[Attempt, ...]
    by: By
    status: int = 200
    says: str = ""
    says_anthropic: str | None = None
    """What an upstream of that dialect says instead."""
    says_gemini: str | None = None
    counted: int | None = None
    ways: tuple[str, ...] = BOTH
    provider: str = "primary"
    alone: bool = False
    hung_up: bool = False
    partial: bool = False
    rescued: bool = False
    malformed: int = 0
    patience_s: float | None = None
    leaves_after: int | None = None
    """The client leaves once so many events were sent; None: it stays."""
    spare_step: Answer = WELL
    spare_met: tuple[Attempt, ...] | None = None
    """How the spare's attempts end; None: with success where it answers, else there are none."""
    prefill: bool = False
    """Whether the spare carries on the text that the client has."""
    held: bool = False
    """Whether output is held back until it is complete (`stream_guarantee`)."""

    @property
    def spared(self) -> tuple[Attempt, ...]:
        """How the spare's attempts end."""
        if self.spare_met is not None:
            return self.spare_met
        return (OK,) if self.by == "spare" else ()


@dataclass(frozen=True)
class Case:
    """A row on one surface, one way; `model` is its llm_id and its upstream model."""

    row: Row
    surface: str
    way: str

    @property
    def model(self) -> str:
        """The llm that the client asks for."""
        return f"{self.row.fault}.{self.surface}.{self.way}"

    @property
    def spare(self) -> str:
        """The llm that it falls back to: the same model elsewhere, so that vectors may come from it."""
        return self.model + ".spare"

    @property
    def dialect(self) -> str:
        """What the upstreams speak."""
        return self.surface.partition("-to-")[2] or "openai"

    @property
    def says(self) -> str:
        """What the client is told."""
        own = {"anthropic": self.row.says_anthropic, "gemini": self.row.says_gemini}
        return own.get(self.dialect) or self.row.says

    def at(self, provider: str) -> str:
        """The provider's name among those of the dialect."""
        return provider if self.dialect == "openai" else f"{provider}-{self.dialect}"

    @property
    def streamed(self) -> bool:
        """Whether it is."""
        return self.way == STREAMED


def alone(fault: str, steps: tuple[Step, ...], met: tuple[Attempt, ...], status: int, says: str = "") -> Row:
    """A fault with nowhere to go."""
    return Row(f"{fault}-alone", steps, met, "nobody", status, says, alone=True)


ROWS: list[Row] = [
    # 429
    Row("429-retry-after", (Status(429, retry_after="0.3"), Answer()), (LIMITED, OK), "primary"),
    Row("429-too-long-a-wait", (Status(429, retry_after="120"),), (LIMITED,), "spare", patience_s=20.0),
    Row("429-for-ever", (Status(429),), (LIMITED,) * 3, "spare"),
    alone("429-for-ever", (Status(429),), (LIMITED,) * 3, 429, "upstream says 429"),
    # 5xx
    *(
        Row(f"{code}-once", (Status(code), Answer()), (SERVER_ERROR, OK), "primary")
        for code in (500, 502, 503, 504)
    ),
    Row("503-for-ever", (Status(503),), (SERVER_ERROR,) * 3, "spare"),
    alone("503-for-ever", (Status(503),), (SERVER_ERROR,) * 3, 503, "upstream says 503"),
    # no connection, or none that lasts to the headers
    Row("reset-once", (ResetBeforeHeaders(), Answer()), (CONNECT, OK), "primary"),
    Row("reset-for-ever", (ResetBeforeHeaders(),), (CONNECT,) * 3, "spare"),
    Row("closed-for-ever", (CloseBeforeHeaders(),), (CONNECT,) * 3, "spare"),
    alone("reset-for-ever", (ResetBeforeHeaders(),), (CONNECT,) * 3, 502),
    Row("no-http", (Garbage(),), (BROKEN,) * 3, "spare"),
    *(
        Row(way, (), (CONNECT,) * 3, "spare", provider=way)
        for way in ("refused", "no-such-host", "false-identity")
    ),
    # silence
    Row("silent", (Hang(),), (SILENT,), "spare", hung_up=True),
    Row("silent-alone", (Hang(),), (SILENT,), "nobody", 504, alone=True, hung_up=True),
    Row("headers-no-token", (Answer(fault=Stall(0)),), (SILENT,), "spare", hung_up=True, ways=(WHOLE,)),
    Row(
        "headers-no-first-token",
        (Answer(fault=Stall(1)),),
        (("timeout", "first_token_timeout"),),
        "spare",
        hung_up=True,
        ways=(STREAMED,),
    ),
    Row("deadline", (Hang(),), (SILENT,), "nobody", 504, hung_up=True, patience_s=0.5),
    # cut, stalled, malformed
    Row("cut-body-once", (Answer(fault=Cut()), Answer()), (BROKEN, OK), "primary", ways=(WHOLE,)),
    Row("cut-body", (Answer(fault=Cut()),), (BROKEN,) * 3, "nobody", 502, alone=True, ways=(WHOLE,)),
    Row(
        "cut-amid-output",
        (Answer(fault=Cut(4)),),
        (BROKEN,),
        "nobody",
        counted=502,
        alone=True,
        partial=True,
        ways=(STREAMED,),
    ),
    Row(
        "reset-amid-output",
        (Answer(fault=Cut(4, how="rst")),),
        (BROKEN,),
        "spare",
        rescued=True,
        ways=(STREAMED,),
    ),
    Row(
        "cut-and-carried-on",
        (Answer(fault=Cut(4)),),
        (BROKEN,),
        "spare",
        rescued=True,
        prefill=True,
        spare_step=Answer(words=Answer().words[3:]),
        ways=(STREAMED,),
    ),
    Row(
        "cut-and-told-otherwise",
        (Answer(fault=Cut(4)),),
        (BROKEN,),
        "nobody",
        counted=502,
        partial=True,
        spare_step=OTHERWISE,
        spare_met=(("error", "diverged"),),
        ways=(STREAMED,),
    ),
    Row(
        "cut-and-held-back",
        (Answer(fault=Cut(4)),),
        (BROKEN,),
        "spare",
        held=True,
        spare_step=OTHERWISE,
        ways=(STREAMED,),
    ),
    Row("stalled-body", (Answer(fault=Stall()),), (SILENT,), "spare", hung_up=True, ways=(WHOLE,)),
    Row(
        "stalled-amid-output",
        (Answer(fault=Stall(4)),),
        (("timeout", "idle_timeout"),),
        "nobody",
        counted=504,
        alone=True,
        hung_up=True,
        partial=True,
        ways=(STREAMED,),
    ),
    Row("malformed-event", (Answer(fault=Malformed(3)),), (OK,), "primary", malformed=1, ways=(STREAMED,)),
    Row("malformed-body-once", (Answer(fault=Malformed()), Answer()), (BROKEN, OK), "primary", ways=(WHOLE,)),
    Row("no-done", (Answer(done=False),), (OK,), "primary", ways=(STREAMED,)),
    # refusals
    Row("too-long", (context_length_exceeded(),), (("error", "context_length"),), "spare"),
    replace(
        alone(
            "too-long",
            (context_length_exceeded(),),
            (("error", "context_length"),),
            400,
            "maximum context length",
        ),
        says_anthropic="prompt is too long: 900 tokens",
        says_gemini="exceeds the maximum number of tokens",
    ),
    *(
        Row(
            f"content-filter-{code}",
            (content_filter(code),),
            (("error", "content_filter"),),
            "nobody",
            code,
            "content management policy",
            "content filtering policy",
        )
        for code in (400, 403)
    ),
    *(Row(f"bad-key-{code}", (bad_key(code),), (("error", "auth"),), "spare") for code in (401, 403)),
    alone("bad-key-401", (bad_key(401),), (("error", "auth"),), 502, "operator"),
    Row("redirect", (Status(307, headers=(("location", "/v1"),)),), (("error", "redirect"),), "spare"),
    alone("redirect", (Status(308),), (("error", "redirect"),), 502, "redirects"),
    # the client leaves
    Row("client-gone", (Hang(),), (GONE,), "nobody", 499, hung_up=True, leaves_after=0),
    Row(
        "client-gone-amid-output",
        (Answer(fault=Stall(4)),),
        (GONE,),
        "nobody",
        499,
        hung_up=True,
        leaves_after=4,
        ways=(STREAMED,),
    ),
]

CASES = [
    Case(row, surface, way)
    for row in ROWS
    for surface in ALL_SURFACES
    for way in row.ways
    if way == WHOLE or surface != "embeddings"
    if NOT_AT.get(row.fault) != surface.partition("-to-")[2]
]
