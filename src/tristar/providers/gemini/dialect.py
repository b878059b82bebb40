"""The dialect `gemini`: upstreams that offer Google's generateContent."""

from tristar.providers.dialect import Headers, Outgoing, ProviderError, Vectors
from tristar.providers.gemini import answering, embeddings, errors
from tristar.providers.gemini.asking import write_conversation
from tristar.providers.gemini.place import path_of
from tristar.providers.gemini.streaming import ResponseReader
from tristar.providers.neutral import Answer, Completion, Conversation


class GeminiDialect:
    """See `Dialect`."""

    name = errors.FORMAT

    def headers(self, client: Headers) -> bytes:
        """See `Dialect.headers`: this API wants none."""
        del client
        return b""

    def write(self, asked: Conversation, model: str, prefill: str = "") -> Outgoing:
        """See `Dialect.write`."""
        task = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
        return Outgoing(path_of(model, task), write_conversation(asked, model, prefill))

    def read_completion(self, body: bytes) -> Completion:
        """See `Dialect.read_completion`."""
        return answering.read_completion(body)

    def read_answer(self, body: bytes) -> Answer:
        """See `Dialect.read_answer`."""
        return answering.read_answer(body)

    def reader(self) -> ResponseReader:
        """See `Dialect.reader`."""
        return ResponseReader()

    def read_error(self, body: bytes) -> ProviderError:
        """See `Dialect.read_error`."""
        return errors.read_error(body)

    def write_embedding(self, texts: list[str], model: str, dimensions: int | None) -> Outgoing:
        """See `Dialect.write_embedding`."""
        body = embeddings.write_request(texts, model, dimensions)
        return Outgoing(path_of(model, "batchEmbedContents"), body)

    def read_vectors(self, body: bytes) -> Vectors:
        """See `Dialect.read_vectors`."""
        return embeddings.read_vectors(body)
