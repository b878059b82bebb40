"""Collecting what is wrong, with no more of a value shown than is safe."""

import difflib
import re
from collections.abc import Iterable
from typing import Final

from tristar.errors import Fault, SettingsInvalid
from tristar.settings.kinds import Rejected
from tristar.settings.row import Row

_SHOWN_CHARS: Final = 80
_BARE = re.compile(r"[A-Za-z0-9_-]{1,80}")
_CREDENTIALS = re.compile(r"//.*@")


def hidden(value: object) -> str:
    """What stands for a secret in a message: its length alone."""
    return f"(hidden, {len(str(value))} characters)"


def shown(value: object) -> str:
    """A value as a message shows it: one line, bounded, credentials in a URL masked."""
    if isinstance(value, dict):
        return "(a table)"
    if isinstance(value, int) and value.bit_length() > 200:
        return "(a very large number)"
    text = value if isinstance(value, str) else repr(value)
    masked = _CREDENTIALS.sub("//***@", text)
    return ascii(masked[:_SHOWN_CHARS])[1:-1] + ("..." if len(masked) > _SHOWN_CHARS else "")


def key_path(*parts: str) -> str:
    """A key as it would be written in the file: dotted, quoted where a part needs it."""
    return ".".join(part if _BARE.fullmatch(part) else f'"{shown(part)}"' for part in parts)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that `name` was probably meant to be, or None; at a `cutoff` of 1 only itself."""
    matches = difflib.get_close_matches(name[:_SHOWN_CHARS], list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """A fix for an unknown name: the nearest one, else all of them."""
    names = sorted(known)
    close = nearest(name, names)
    if close:
        return f"Did you mean {close}?"
    return f"Known: {', '.join(names[:20])}." if names else "None is configured."


class Faults:
    """The faults found so far; loading goes on after each, so that all are reported at once."""

    def __init__(self) -> None:
        self._found: list[Fault] = []

    def add(self, key: str, value: str, problem: str, fix: str) -> None:
        """Note one fault; `value` must already be safe to show."""
        fault = Fault(key, value, problem, fix)
        if fault not in self._found:
            self._found.append(fault)

    def reject(self, key: str, value: object, row: Row, reason: Rejected) -> None:
        """Note that `row` does not take `value`, masked if the row is secret."""
        safe = hidden(value) if row.secret else shown(value)
        self.add(key, safe, str(reason), fix_for(row))

    def __len__(self) -> int:
        return len(self._found)

    def check(self) -> None:
        """Raise every fault found, if any.

        Raises:
            SettingsInvalid: with all of them.
        """
        if self._found:
            raise SettingsInvalid(self._found)


def fix_for(row: Row) -> str:
    """What to do about a value that the row does not take."""
    if row.default is None or row.default == ():
        return "Correct it, or leave it out."
    return f"Correct it, or leave it out for the default {plain(row.default)}."


def plain(value: object) -> str:
    """A default as it is written in a variable."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
