"""What a surface is: the language of one kind of client, to and from the neutral form.

A new surface is one package with these functions and a line in `gateway.py`; then it reaches every dialect.
"""

from typing import ClassVar, Literal, Protocol, Self

import msgspec

from tristar.errors import GatewayError
from tristar.providers.dialect import Dialect, Outgoing
from tristar.providers.fields import Fields, optional
from tristar.providers.neutral import Completion, Piece, Usage

BYTES_PER_TOKEN = 4
"""For estimates, where nobody counts."""


class MemoryAsk(msgspec.Struct, forbid_unknown_fields=True):
    """What of the shared memory shall go along: TriStar's own field `memory`, never sent upstream."""

    project: str | None = None
    type: Literal["fact", "decision", "code", "summary", "context", "todo"] | None = None
    tags: list[str] = []
    min_confidence: float | None = None
    limit: int = 5
    max_tokens: int = 1000


_memory = msgspec.json.Decoder(MemoryAsk | None)


def read_memory(fields: Fields) -> MemoryAsk | None:
    """The field `memory`; errors as `fields.optional`."""
    return optional(fields, "memory", _memory, "an object with project, type, tags, limit, …")


class StreamWriter(Protocol):
    """Writes one client's stream, whichever llms it comes from in turn."""

    position: int
    """The number of the next event, on surfaces that number them."""

    def passed(self, event: bytes, piece: Piece) -> bytes:
        """An upstream's event in the surface's own format goes through: these bytes, or none of it."""
        ...

    def passes_texts(self) -> bool:
        """Whether events that only add text pass unseen by `passed`; where this says so, they do."""
        ...

    def write(self, piece: Piece) -> bytes:
        """The events for a piece; empty where it says nothing to this surface."""
        ...

    def end(self, counted: Usage) -> bytes:
        """What completes the stream; `counted` is what was used where no upstream told."""
        ...

    def branch(self) -> Self:
        """A writer that goes on from here, while this one could still go on otherwise."""
        ...


class Surface(Protocol):
    """The errors of one API, as its clients expect them. Has no state."""

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error answer; a provider's own goes through as it came if it is of this format."""
        ...

    def error_event(self, error: GatewayError, request_id: str, position: int = 0) -> bytes:
        """The last event of a stream that did not end well; `position` is its number there."""
        ...


class Call(Protocol):
    """One request of a client, as it goes to whichever upstream and comes back."""

    route: ClassVar[str]
    """Which API it came on."""
    surface: Surface
    model: str
    stream: bool
    fallbacks: tuple[str, ...] | None

    @property
    def prompt(self) -> bytes:
        """What is asked, for fingerprint and estimate."""
        ...

    @property
    def end_user(self) -> str | None:
        """Whom the request is for, as the caller names them; None where it is no such name."""
        ...

    @property
    def output_limit(self) -> int | None:
        """The tokens that the answer may have at most; None if that is not known."""
        ...

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """The request in an upstream's dialect, under the upstream's model name.

        Raises:
            BadRequest: it cannot be read as far as that needs.
            CannotCarry: it asks for what the dialect has no words for.
        """
        ...

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """What an upstream's whole answer says of itself; errors as `Dialect.read_completion`."""
        ...

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """An upstream's whole answer in the surface's words; `counted` is what was used.

        Raises:
            msgspec.DecodeError: it is no answer.
        """
        ...

    def passes(self, dialect: Dialect) -> bool:
        """Whether the dialect's events are the surface's own."""
        ...

    def writer(self) -> StreamWriter:
        """A writer for the client's stream."""
        ...


class Talk(Call, Protocol):
    """A call that is a conversation: the memory's note can go along."""

    memory: MemoryAsk | None

    def question(self) -> str:
        """The text of the last message of the user; empty if there is none that can be read."""
        ...

    def add_note(self, note: str) -> None:
        """Let a system message go along."""
        ...
