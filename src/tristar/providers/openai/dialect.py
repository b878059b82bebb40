"""The dialect `openai`: upstreams that offer OpenAI's chat completions."""

from tristar.providers.dialect import Headers, Outgoing, ProviderError, Vectors, lines_of
from tristar.providers.fields import encode
from tristar.providers.neutral import Conversation, Json
from tristar.providers.openai import answering, errors
from tristar.providers.openai.asking import write_conversation
from tristar.providers.openai.streaming import ChunkReader

HEADERS = frozenset({b"openai-beta", b"openai-organization", b"openai-project", b"idempotency-key"})
"""The client's headers that mean something to these upstreams."""


class OpenAIDialect:
    """See `Dialect`."""

    name = errors.FORMAT

    def headers(self, client: Headers) -> bytes:
        """See `Dialect.headers`."""
        return lines_of(client, HEADERS) if client else b""

    def write(self, asked: Conversation, model: str, prefill: str = "") -> Outgoing:
        """See `Dialect.write`."""
        return Outgoing("/chat/completions", write_conversation(asked, model, prefill))

    read_completion = staticmethod(answering.read_completion)
    read_answer = staticmethod(answering.read_answer)

    def reader(self) -> ChunkReader:
        """See `Dialect.reader`."""
        return ChunkReader()

    def read_error(self, body: bytes) -> ProviderError:
        """See `Dialect.read_error`."""
        return errors.read_error(body)

    def write_embedding(self, texts: list[str], model: str, dimensions: int | None) -> Outgoing:
        """See `Dialect.write_embedding`."""
        told: Json = {"model": model, "input": texts, "encoding_format": "float"}
        return Outgoing(
            "/embeddings", encode(told if dimensions is None else told | {"dimensions": dimensions})
        )

    def read_vectors(self, body: bytes) -> Vectors:
        """See `Dialect.read_vectors`."""
        return answering.read_vectors(body)
