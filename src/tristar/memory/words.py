"""Text as the words that full-text search knows, the same for every engine.

Case and accents are folded; letters and digits make words. Scripts that put no spaces between
words are split into single characters, which a search then asks for in sequence.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Japanese syllables
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese characters
    "\U00020000-\U0003ffff"
    "]"
)
_QUERY_PART = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')

LONGEST_WORD = 64
"""Longer words are known by their first characters; engines give up on very long ones."""


@dataclass(frozen=True)
class Phrase:
    """Words that must follow each other, or with `absent` must not.

    With `prefix`, the last one may go on.
    """

    words: Sequence[str]
    absent: bool = False
    prefix: bool = False


def split(text: str) -> list[str]:
    """The words of `text` in their order, folded."""
    folded = text.casefold()
    if not folded.isascii():
        # Decomposing can bring forth capitals, and folding those, letters to decompose.
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
        folded = "".join(char for char in folded if not unicodedata.combining(char))
        folded = _UNSPACED.sub(r" \g<0> ", folded)
    return [word[:LONGEST_WORD] for word in _WORD.findall(folded)]


def parse(query: str) -> list[Phrase]:
    """What a search asks for: every word; `"several in sequence"`; `begin*`; and `-without` this one.

    Never fails: anything that is not a letter or a digit separates words.
    """
    phrases = []
    for minus, quoted, bare in _QUERY_PART.findall(query):
        words = split(quoted or bare)
        if words:
            phrases.append(Phrase(words, absent=bool(minus), prefix=bare.endswith("*")))
    return phrases


def present(query: str) -> str:
    """The query without what must be absent and without signs of its language: what it is about."""
    told = [
        quoted or bare.removesuffix("*") for minus, quoted, bare in _QUERY_PART.findall(query) if not minus
    ]
    return " ".join(" ".join(told).split())
