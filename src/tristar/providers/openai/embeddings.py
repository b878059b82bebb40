"""OpenAI's embeddings: a surface of its own, which the `openai` dialect alone serves."""

from dataclasses import dataclass

from tristar.errors import BadRequest, CannotCarry
from tristar.providers.dialect import Dialect, Outgoing
from tristar.providers.fields import Fields, encode, raw, read_fallbacks, read_model, read_object
from tristar.providers.neutral import Completion, Usage
from tristar.providers.openai.asked import end_user
from tristar.providers.openai.errors import FORMAT, OPENAI_ERRORS
from tristar.providers.openai.streaming import ChunkWriter
from tristar.providers.surface import StreamWriter, Surface


@dataclass(slots=True)
class EmbeddingCall:
    """One request for embeddings. Its answer is never streamed and has no tokens of output."""

    model: str
    fallbacks: tuple[str, ...] | None
    fields: Fields
    stream: bool = False
    surface: Surface = OPENAI_ERRORS

    @property
    def prompt(self) -> bytes:
        """The texts, as they came."""
        return bytes(self.fields["input"])

    @property
    def end_user(self) -> str | None:
        """See `Call.end_user`."""
        return end_user(self.fields)

    @property
    def output_limit(self) -> int | None:
        """Nothing is written."""
        return 0

    def sent_to(self, dialect: Dialect, model: str, prefill: str = "") -> Outgoing:
        """See `Call.sent_to`; there is nothing to prefill."""
        del prefill
        if not self.passes(dialect):
            raise CannotCarry(
                f"No embeddings come from a provider of the dialect {dialect.name}.", param="model"
            )
        self.fields.pop("fallbacks", None)
        return Outgoing("/embeddings", encode(self.fields | {"model": raw(model)}))

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`."""
        return dialect.read_completion(body)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`: as it came."""
        del dialect, counted
        return body

    def passes(self, dialect: Dialect) -> bool:
        """See `Call.passes`."""
        return dialect.name == FORMAT

    def writer(self) -> StreamWriter:
        """See `Call.writer`; never asked for."""
        return ChunkWriter("", 0, wants_usage=False)


def parse_embedding(body: bytes) -> EmbeddingCall:
    """Read a request for embeddings.

    Raises:
        BadRequest: it is not JSON, or a field that the gateway reads has the wrong type.
    """
    fields = read_object(body)
    model = read_model(fields)
    asked = fields.get("input")
    if asked is None or bytes(asked)[:1] not in {b'"', b"["}:
        raise BadRequest("`input` must be a string, or an array of strings or tokens.", param="input")
    return EmbeddingCall(model, read_fallbacks(fields), fields)
