"""What a dialect is: the language of one kind of upstream, to and from the neutral form.

A new dialect is one package with these functions, named in `dialects.py`; then every surface speaks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from tristar.errors import CannotCarry
from tristar.providers.neutral import Answer, Completion, Conversation, Piece, Usage

Headers = list[tuple[bytes, bytes]]
ErrorKind = Literal["auth", "context_length", "content_filter", "quota"]


class Outgoing(msgspec.Struct, frozen=True):
    """A request as it goes upstream: `path` behind the provider's base URL, and the JSON body."""

    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A provider's error body, as far as it can be read.

    `kind` is set where the dialect knows what a generic reading of the status would miss; `status` is what
    the error stands for where it comes inside a stream; `enveloped` says that a client of the same format
    can be shown the body as it is; `retry_after_s` is what the body says where no header does.
    """

    message: str = ""
    type: str = ""
    code: str = ""
    enveloped: bool = False
    kind: ErrorKind | None = None
    status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embeddings in the order of their texts; `usage` is None where the provider does not tell."""

    values: list[list[float]]
    usage: Usage | None


def lines_of(headers: Headers, names: frozenset[bytes]) -> bytes:
    """Those of the headers that have one of these names, as lines."""
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers if name in names)


class StreamReader(Protocol):
    """Reads the events of one stream, in order."""

    @property
    def is_finished(self) -> bool:
        """Whether the answer is complete, also if the upstream never says that it has ended."""
        ...

    def read_texts(self, events: Sequence[bytes], start: int) -> list[str]:
        """The text of each of these events' data from `start` on, up to the first that is not text alone.

        That is: of which `read` would say that it adds text, and nothing else that was not known before.
        They are read; that first one, and what is malformed, is not. A reader need not know any.
        """
        ...

    def read(self, data: bytes) -> Piece:
        """What one event's data says.

        Raises:
            msgspec.ValidationError: JSON of a shape that is not known.
            msgspec.DecodeError, UnicodeDecodeError: not JSON.
        """
        ...


class Dialect(Protocol):
    """One upstream language. Has no state; `name` is also that of the surface's format that it matches."""

    name: str

    def headers(self, client: Headers) -> bytes:
        """Header lines, each ending in CR LF, for every request of this dialect.

        `client` are the client's own that mean something to some dialect; others' stay behind.
        """
        ...

    def write(self, asked: Conversation, model: str, prefill: str = "") -> Outgoing:
        """The request for an upstream's `model`; `prefill` is the beginning of the answer, to be carried on.

        Raises:
            CannotCarry: something is asked that this API has no words for.
        """
        ...

    def read_completion(self, body: bytes) -> Completion:
        """What a whole answer says of itself, without reading all of it.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: it is not JSON.
        """
        ...

    def read_answer(self, body: bytes) -> Answer:
        """A whole answer.

        Raises:
            msgspec.DecodeError: it is not one, or holds what no other surface can show.
        """
        ...

    def reader(self) -> StreamReader:
        """A reader for one stream."""
        ...

    def read_error(self, body: bytes) -> ProviderError:
        """An error's body, of any shape; never raises."""
        ...

    def write_embedding(self, texts: list[str], model: str, dimensions: int | None) -> Outgoing:
        """The request for the embeddings of these texts; errors as `write`."""
        ...

    def read_vectors(self, body: bytes) -> Vectors:
        """The embeddings of a whole answer; errors as `read_answer`."""
        ...


def write_named(
    dialect: Dialect, asked: Conversation, model: str, prefill: str, names: Mapping[str, str]
) -> Outgoing:
    """`Dialect.write` for a surface that has other names than a chat's for what cannot be carried."""
    try:
        return dialect.write(asked, model, prefill)
    except CannotCarry as error:
        named = names.get(error.param or "")
        if named is None:
            raise
        raise CannotCarry(error.message.replace(f"`{error.param}`", f"`{named}`"), param=named) from error
