"""What a word is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tristar.memory.words import LONGEST_WORD, Phrase, parse, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Gateway, counted!", ["the", "gateway", "counted"]),
        ("Größe GRÖSSE grosse", ["grosse", "grosse", "grosse"]),
        ("v2.10_final-rc1", ["v2", "10", "final", "rc1"]),
        ("東京都に", ["東", "京", "都", "に"]),
        ("GPU東京4090", ["gpu", "東", "京", "4090"]),
        ("עברית", ["עברית"]),
        ("…!? \x00 ''", []),
    ],
)
def test_text_is_split_into_folded_words(text: str, words: list[str]) -> None:
    """Case, accents and punctuation do not matter; unspaced scripts go by character."""
    assert split(text) == words


def test_a_query_asks_for_words_sequences_beginnings_and_absences() -> None:
    """The whole of the search language."""
    assert parse('open "half open" brea* -closed -"gone away" "unfinished') == [
        Phrase(["open"]),
        Phrase(["half", "open"]),
        Phrase(["brea"], prefix=True),
        Phrase(["closed"], absent=True),
        Phrase(["gone", "away"], absent=True),
        Phrase(["unfinished"]),
    ]


@given(st.text())
@example("\ud800")
@example("İ" * 100)
@example("ﷺ" * 40)
def test_any_text_gives_bounded_words_of_letters_and_digits(text: str) -> None:
    """So that nothing in them can be syntax to a database."""
    words = [word for phrase in parse(text) for word in phrase.words] + split(text)

    assert all(word.isalnum() and len(word) <= LONGEST_WORD for word in words)


@given(st.text())
def test_splitting_is_stable(text: str) -> None:
    """The words of the words are the words: what was indexed is found by what was indexed."""
    assert split(" ".join(split(text))) == split(text)
