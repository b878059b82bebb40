"""The dialect `anthropic`: upstreams that offer Anthropic's Messages."""

import msgspec

from tristar.errors import CannotCarry
from tristar.providers.anthropic import answering, errors
from tristar.providers.anthropic.asking import write_conversation
from tristar.providers.anthropic.messages import PATH
from tristar.providers.anthropic.streaming import EventReader
from tristar.providers.dialect import Headers, Outgoing, ProviderError, Vectors, lines_of
from tristar.providers.neutral import Answer, Completion, Conversation

VERSION = b"anthropic-version: 2023-06-01\r\n"
HEADERS = frozenset({b"anthropic-beta", b"anthropic-version"})
"""The client's headers that mean something to these upstreams."""


class AnthropicDialect:
    """See `Dialect`."""

    name = errors.FORMAT

    def headers(self, client: Headers) -> bytes:
        """See `Dialect.headers`: the API's version, the client's where it names one."""
        lines = lines_of(client, HEADERS)
        return lines if b"anthropic-version:" in lines else VERSION + lines

    def write(self, asked: Conversation, model: str, prefill: str = "") -> Outgoing:
        """See `Dialect.write`."""
        return Outgoing(PATH, write_conversation(asked, model, prefill))

    def read_completion(self, body: bytes) -> Completion:
        """See `Dialect.read_completion`."""
        return answering.read_completion(body)

    def read_answer(self, body: bytes) -> Answer:
        """See `Dialect.read_answer`."""
        return answering.read_answer(body)

    def reader(self) -> EventReader:
        """See `Dialect.reader`."""
        return EventReader()

    def read_error(self, body: bytes) -> ProviderError:
        """See `Dialect.read_error`."""
        return errors.read_error(body)

    def write_embedding(self, texts: list[str], model: str, dimensions: int | None) -> Outgoing:
        """See `Dialect.write_embedding`: this API has none."""
        del texts, model, dimensions
        raise CannotCarry("No embeddings come from a provider of the dialect anthropic.", param="model")

    def read_vectors(self, body: bytes) -> Vectors:
        """See `Dialect.read_vectors`."""
        raise msgspec.ValidationError(f"{len(body)} bytes of embeddings that were never asked for")
