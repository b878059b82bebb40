"""The surface `/v1/embeddings`."""

import base64
import struct
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from tristar.errors import BadRequest, CannotCarry
from tristar.providers.dialect import Dialect, Outgoing, Vectors
from tristar.providers.fields import Fields, encode, optional, raw, read_fallbacks, read_model, read_object
from tristar.providers.neutral import Completion, Json, Usage
from tristar.providers.openai.asked import end_user
from tristar.providers.openai.errors import FORMAT, OPENAI_ERRORS
from tristar.providers.openai.streaming import ChunkWriter
from tristar.providers.surface import StreamWriter, Surface

_READ = frozenset({"model", "input", "fallbacks", "dimensions", "encoding_format", "user"})
_input = msgspec.json.Decoder(str | list[str | int | list[int]])
_int: "msgspec.json.Decoder[int | None]" = msgspec.json.Decoder(int | None)
_text: "msgspec.json.Decoder[str | None]" = msgspec.json.Decoder(str | None)


@dataclass(slots=True)
class EmbeddingCall:
    """One request for embeddings. Its answer is never streamed and has no tokens of output."""

    route: ClassVar[str] = "embeddings"
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
        if self.passes(dialect):
            self.fields.pop("fallbacks", None)
            return Outgoing("/embeddings", encode(self.fields | {"model": raw(model)}))
        for name in self.fields.keys() - _READ:
            raise CannotCarry(f"`{name}` cannot be said to this model's provider.", param=name)
        dimensions = optional(self.fields, "dimensions", _int, "a whole number")
        return dialect.write_embedding(self._texts(), model, dimensions)

    def _texts(self) -> list[str]:
        kind = "a string, or an array of strings"
        asked = optional(self.fields, "input", _input, kind)
        given = [asked] if isinstance(asked, str) else asked or []
        texts = [each for each in given if isinstance(each, str)]
        if not texts or len(texts) < len(given):
            raise CannotCarry(
                f"`input` must be {kind} for this model's provider: it takes no tokens.", param="input"
            )
        return texts

    def read(self, dialect: Dialect, body: bytes) -> Completion:
        """See `Call.read`."""
        if self.passes(dialect):
            return dialect.read_completion(body)
        return Completion(None, None, dialect.read_vectors(body).usage, 0)

    def told(self, dialect: Dialect, body: bytes, counted: Usage) -> bytes:
        """See `Call.told`."""
        if self.passes(dialect):
            return body
        wanted = optional(self.fields, "encoding_format", _text, "float or base64")
        return _write(dialect.read_vectors(body), self.model, counted, in_base64=wanted == "base64")

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


def _write(vectors: Vectors, model: str, counted: Usage, *, in_base64: bool) -> bytes:
    data: list[Json] = []
    for index, values in enumerate(vectors.values):
        told = _packed(values) if in_base64 else values
        data.append({"object": "embedding", "index": index, "embedding": told})
    usage = {"prompt_tokens": counted.input, "total_tokens": counted.input}
    return encode({"object": "list", "data": data, "model": model, "usage": usage})


def _packed(values: list[float]) -> str:
    """As OpenAI's SDKs ask for it: 32-bit floats, the least significant byte first."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
