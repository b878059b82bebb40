"""Google's embeddings: `batchEmbedContents`, asked and read."""

import msgspec

from tristar.providers.dialect import Vectors
from tristar.providers.fields import encode
from tristar.providers.gemini.place import resource_of
from tristar.providers.gemini.usage import Counts, read_usage
from tristar.providers.neutral import Json


class _Vector(msgspec.Struct):
    values: list[float]


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Vector]
    usage_metadata: Counts | None = None


_decoder = msgspec.json.Decoder(_Answer)


def write_request(texts: list[str], model: str, dimensions: int | None) -> bytes:
    """One request for each text."""
    requests: list[Json] = []
    for text in texts:
        told: Json = {"model": resource_of(model), "content": {"parts": [{"text": text}]}}
        requests.append(told if dimensions is None else told | {"outputDimensionality": dimensions})
    return encode({"requests": requests})


def read_vectors(body: bytes) -> Vectors:
    """See `Dialect.read_vectors`: this API counts no tokens of older models."""
    told = _decoder.decode(body)
    return Vectors([each.values for each in told.embeddings], read_usage(told.usage_metadata))
