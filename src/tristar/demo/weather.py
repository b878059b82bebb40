"""When a simulated provider is well and when it is not: plain functions of the seconds since the start."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

Ill = Literal["", "down", "erring", "limiting", "cutting"]
"""What a call meets: nothing, 503, 500, 429 with Retry-After, or a stream that breaks off half-way."""

Weather = Callable[[float, Random], Ill]
"""What a call that comes this many seconds after the start meets."""


@dataclass(frozen=True)
class Character:
    """How one provider answers. Times in seconds, the middle of what is drawn around them."""

    name: str
    first_token_s: float
    word_s: float
    weather: Weather


def fair(after_s: float, random: Random) -> Ill:
    """Always well."""
    del after_s, random
    return ""


def bursty(after_s: float, random: Random) -> Ill:
    """For six seconds of every twenty, three calls in five are refused or fail."""
    if not 8 <= after_s % 20 < 14 or random.random() > 0.6:
        return ""
    return random.choice(("erring", "limiting"))


def outages(after_s: float, random: Random) -> Ill:
    """Down for twelve seconds of every two minutes; the first time soon after the start."""
    del random
    return "down" if 5 <= after_s % 120 < 17 else ""


def leaky(after_s: float, random: Random) -> Ill:
    """One stream in three breaks off half-way."""
    del after_s
    return "cutting" if random.random() < 1 / 3 else ""


CHARACTERS = (
    Character("aurora", first_token_s=0.15, word_s=0.02, weather=fair),
    Character("borealis", first_token_s=0.3, word_s=0.03, weather=bursty),
    Character("cascade", first_token_s=0.25, word_s=0.03, weather=outages),
    Character("drift", first_token_s=0.6, word_s=0.06, weather=leaky),
)
"""The four providers of the demo."""
