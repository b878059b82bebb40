"""The page that says, pair by pair, what is supported: written from the tables that the tests run through."""

from collections.abc import Iterable, Sequence

from tests.contract.pairs.answers import ANSWERS, NATIVE, PAIRS, REFUSALS
from tests.contract.pairs.questions import QUESTIONS, Question

_HEAD = """# What each surface can do with each dialect

Written by `make docs` from the tables of `tests/contract/pairs`; `make check` compares. Every cell is a test
that runs the official SDK of the surface against recorded answers of the dialect; answers whole and streamed.

- **yes**: it arrives. From chat to openai, from messages to anthropic and from responses to providers that
  have them themselves (`responses = true`: "responses passed through") as the bytes that were sent.
- **400**: the dialect has no words for it. The request is refused, naming the field, before anything is sent.
- **stays**: it is left behind, since it does not change what is answered. See [surfaces.md](surfaces.md).
- **-**: the surface's own API has no words for it.
"""

_STAYS = {
    ("signed thoughts of an earlier turn", "openai"),
    ("signed thoughts of an earlier turn", "gemini"),
    ("signed thoughts of an earlier turn", NATIVE),
    ("cache marks", "openai"),
    ("cache marks", "gemini"),
    ("end user", "gemini"),
}
"""Questions of which a part does not reach a dialect."""

_PASSED = {("chat", "openai"), ("messages", "anthropic")}
"""Pairs whose requests go through as they came."""


def render() -> str:
    """The whole page as Markdown, ending in one newline."""
    asked = [(question.name, [_asked(question, *pair) for pair in PAIRS]) for question in QUESTIONS]
    heard = [(title, ["yes"] * len(PAIRS)) for title, _ in ANSWERS.values()]
    refused = [(title, ["yes"] * len(PAIRS)) for title, _, _ in REFUSALS.values()]
    parts = [
        _HEAD,
        "## Requests\n",
        _table(asked),
        "## Answers\n",
        _table(heard),
        "## Errors\n",
        _table(refused),
    ]
    return "\n".join(parts)


def _asked(question: Question, surface: str, dialect: str) -> str:
    if surface not in question.asked:
        return "-"
    if question.refusal(surface, dialect) is not None:
        return "400"
    if (surface, dialect) in _PASSED:
        return "yes"
    return "stays" if (question.name, dialect) in _STAYS else "yes"


def _title(surface: str, dialect: str) -> str:
    return f"{surface} passed through" if dialect == NATIVE else f"{surface} to {dialect}"


def _table(rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    titles = [_title(*pair) for pair in PAIRS]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in rows]
    return "\n".join(lines) + "\n"
