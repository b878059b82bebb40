"""Why an answer ended, in Anthropic's words and in neutral ones."""

from collections.abc import Mapping
from typing import Final

from tristar.providers.neutral import Finish

_READ: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_WRITTEN: Final[Mapping[Finish, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def read_finish(stop_reason: str | None) -> Finish | None:
    """The neutral reason; words that are not known stay as they are."""
    return None if stop_reason is None else _READ.get(stop_reason, stop_reason)


def write_finish(finish: Finish | None, *, stop_sequence: str | None, calls: bool, refused: bool) -> str:
    """The stop reason; some servers say `stop` also where they call tools or refuse."""
    if stop_sequence is not None:
        return "stop_sequence"
    if refused:
        return "refusal"
    if calls and finish in {"stop", None}:
        return "tool_use"
    return _WRITTEN.get(finish or "stop", finish or "end_turn")
