"""Embeddings with a meaning that a test can foresee: texts are near that share words, or synonyms."""

import hashlib
import re
from dataclasses import dataclass

from tests.upstream import payload
from tests.upstream.gate import Gate
from tests.upstream.stage import Stage
from tests.upstream.wire import head

SYNONYMS = (
    {"database", "postgres", "postgresql", "datenbank"},
    {"car", "automobile", "auto"},
    {"error", "failure", "fault", "fehler"},
)
"""Words of one set mean the same."""

_SAME = {word: min(words) for words in SYNONYMS for word in words}
DIMS = 256


def vector(text: str, seed: str = "") -> list[float]:
    """The sum of a fixed random direction per word; another `seed` is another model."""
    sums = [0.0] * DIMS
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.blake2b((seed + _SAME.get(word, word)).encode(), digest_size=DIMS // 8).digest()
        bits = int.from_bytes(digest)
        sums = [total + (1 if bits >> n & 1 else -1) for n, total in enumerate(sums)]
    return sums


@dataclass(frozen=True)
class Meant:
    """Embeddings of the texts asked for; `gate` holds the answer back until the test lets it go."""

    seed: str = ""
    gate: Gate | None = None

    async def play(self, stage: Stage) -> None:
        """Answer the call."""
        asked = stage.call.json["input"]
        texts = asked if isinstance(asked, list) else [asked]
        if self.gate is not None:
            await stage.passage(self.gate)
        data = [
            {"object": "embedding", "index": n, "embedding": vector(text, self.seed)}
            for n, text in enumerate(texts)
        ]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = payload.encode({"object": "list", "model": stage.call.model, "data": data, "usage": usage})
        stage.answered(200)
        length = ("content-length", str(len(body)))
        await stage.send(head(200, [("content-type", "application/json"), length]) + body)
