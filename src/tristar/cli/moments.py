"""Points in time as people type them: ISO 8601, or so much from now."""

import datetime as dt
import re
from typing import Annotated

import typer

from tristar.audit.export import moment
from tristar.cli.endings import Misused
from tristar.clock import Clock

SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="From then on: 7d, 2026-01-31, 2026-01-31T08:00:00+01:00."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="T", help="Up to then, inclusive; a date alone is its first moment."),
]

_LENGTH = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def past(text: str | None, flag: str, clock: Clock) -> dt.datetime | None:
    """The moment that `text` names; `7d` is seven days ago. Without an offset, times are local.

    Raises:
        Misused: it is no point in time.
    """
    return None if text is None else _moment(text, flag, clock, -1)


def future(text: str | None, flag: str, clock: Clock) -> dt.datetime | None:
    """As `past`, but `7d` is seven days from now."""
    return None if text is None else _moment(text, flag, clock, 1)


def length_s(text: str, flag: str, most_s: int) -> float:
    """A length of time in seconds: `90s`, `7d`.

    Raises:
        Misused: it is none, or longer than `most_s`.
    """
    length = _LENGTH.fullmatch(text.strip())
    seconds = int(length[1]) * _UNITS_S[length[2]] if length else most_s + 1
    if seconds > most_s:
        raise Misused(f"{flag} = {text[:64]!r}: use 0s to {most_s // 86_400}d, as in 90s, 5m, 1h, 7d.")
    return seconds


def _moment(text: str, flag: str, clock: Clock, direction: int) -> dt.datetime:
    length = _LENGTH.fullmatch(text.strip())
    try:
        if length:
            away_s = int(length[1]) * _UNITS_S[length[2]]
            return dt.datetime.fromtimestamp(clock.time() + direction * away_s, dt.UTC)
        stamp = moment(text.strip())
        return dt.datetime.fromisoformat((stamp or b"").decode())
    except (ValueError, OverflowError, OSError):
        example = "7d (or s, m, h, w), 2026-01-31 or 2026-01-31T08:00:00+01:00"
        raise Misused(f"{flag} = {text[:64]!r}: not a point in time. Use {example}.") from None
