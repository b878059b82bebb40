"""The kinds of value that a setting can have: each knows its allowed range and reads both sources.

`from_text` reads an environment variable or a flag, `from_toml` a typed value of the file.
Both raise `Rejected`, which never quotes the value: the caller decides how much of it may be shown.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Rejected(ValueError):
    """The value is outside what the kind allows; the message is the reason, without the value."""


class Kind(Protocol):
    """One kind of value."""

    @property
    def allowed(self) -> str:
        """The range in words, to stand after "must be" and in the reference page."""
        ...

    def from_text(self, text: str) -> object:
        """The value of a variable or flag.

        Raises:
            Rejected: it is not of this kind, or out of range.
        """
        ...

    def from_toml(self, value: object) -> object:
        """The value of a key in the file; see `from_text`."""
        ...


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """See `Kind.allowed`."""
        return f"a whole number from {self.low} to {self.high}"

    def from_text(self, text: str) -> int:
        """See `Kind.from_text`."""
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise Rejected(f"must be {self.allowed}")
        return self.from_toml(int(text))

    def from_toml(self, value: object) -> int:
        """See `Kind.from_toml`."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise Rejected(f"must be {self.allowed}")
        return value


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`; with `above`, greater than `low`."""

    low: float
    high: float
    above: bool = False

    @property
    def allowed(self) -> str:
        """See `Kind.allowed`."""
        if self.above:
            return f"a number above {self.low:g}, up to {self.high:g}"
        return f"a number from {self.low:g} to {self.high:g}"

    def from_text(self, text: str) -> float:
        """See `Kind.from_text`."""
        try:
            return self.from_toml(float(text))
        except ValueError:
            raise Rejected(f"must be {self.allowed}") from None

    def from_toml(self, value: object) -> float:
        """See `Kind.from_toml`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Rejected(f"must be {self.allowed}")
        if not self.low <= value <= self.high or (self.above and value == self.low):
            raise Rejected(f"must be {self.allowed}")
        return float(value)


@dataclass(frozen=True)
class OneOf:
    """One of a few numbers."""

    numbers: Sequence[float]

    @property
    def allowed(self) -> str:
        """See `Kind.allowed`."""
        return "one of " + ", ".join(f"{number:g}" for number in self.numbers)

    def from_text(self, text: str) -> float:
        """See `Kind.from_text`."""
        try:
            return self.from_toml(float(text))
        except ValueError:
            raise Rejected(f"must be {self.allowed}") from None

    def from_toml(self, value: object) -> float:
        """See `Kind.from_toml`."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value not in self.numbers:
            raise Rejected(f"must be {self.allowed}")
        return float(value)


@dataclass(frozen=True)
class Switch:
    """On or off."""

    allowed: str = "true or false"

    def from_text(self, text: str) -> bool:
        """See `Kind.from_text`; also takes 1, 0, yes, no, on and off, in any case."""
        word = text.lower()
        if word in {"true", "1", "yes", "on"}:
            return True
        if word in {"false", "0", "no", "off"}:
            return False
        raise Rejected(f"must be {self.allowed}")

    def from_toml(self, value: object) -> bool:
        """See `Kind.from_toml`."""
        if not isinstance(value, bool):
            raise Rejected(f"must be {self.allowed}, without quotes")
        return value


@dataclass(frozen=True)
class Text:
    """A string that `read` accepts; `read` returns the value or raises `Rejected`."""

    allowed: str
    read: Callable[[str], object]

    def from_text(self, text: str) -> object:
        """See `Kind.from_text`."""
        return self.read(text)

    def from_toml(self, value: object) -> object:
        """See `Kind.from_toml`."""
        if not isinstance(value, str):
            raise Rejected(f"must be {self.allowed}, in quotes")
        return self.read(value)


@dataclass(frozen=True)
class Names:
    """A list of different names."""

    allowed: str = 'a list of different names, such as ["a", "b"]'

    def from_text(self, text: str) -> tuple[str, ...]:
        """See `Kind.from_text`; names are separated by commas."""
        return self.from_toml([name.strip() for name in text.split(",")])

    def from_toml(self, value: object) -> tuple[str, ...]:
        """See `Kind.from_toml`."""
        if not isinstance(value, list) or len(value) > 100:
            raise Rejected(f"must be {self.allowed}")
        names = tuple(name for name in value if isinstance(name, str) and name)
        if len(names) != len(value) or len(set(names)) != len(names):
            raise Rejected(f"must be {self.allowed}")
        return names


@dataclass(frozen=True)
class OneOrMore:
    """One text, or a list of different ones of the same kind."""

    kind: Text

    @property
    def allowed(self) -> str:
        """See `Kind.allowed`."""
        return f"{self.kind.allowed}, or a list of such"

    def from_text(self, text: str) -> tuple[object, ...]:
        """See `Kind.from_text`; several are separated by commas."""
        return self.from_toml([part.strip() for part in text.split(",")])

    def from_toml(self, value: object) -> tuple[object, ...]:
        """See `Kind.from_toml`."""
        if not isinstance(value, list):
            return (self.kind.from_toml(value),)
        if not 0 < len(value) <= 100 or len(set(map(str, value))) != len(value):
            raise Rejected(f"must be {self.allowed}")
        return tuple(self.kind.from_toml(each) for each in value)


@dataclass(frozen=True)
class Numbers:
    """A list of numbers above 0, up to `high`."""

    high: float

    @property
    def allowed(self) -> str:
        """See `Kind.allowed`."""
        return f"a list of numbers above 0, up to {self.high:g}, such as [3, 1]"

    def from_text(self, text: str) -> tuple[float, ...]:
        """See `Kind.from_text`; numbers are separated by commas."""
        try:
            return self.from_toml([float(number) for number in text.split(",")])
        except ValueError:
            raise Rejected(f"must be {self.allowed}") from None

    def from_toml(self, value: object) -> tuple[float, ...]:
        """See `Kind.from_toml`."""
        if not isinstance(value, list) or len(value) > 100:
            raise Rejected(f"must be {self.allowed}")
        one = Number(0, self.high, above=True)
        try:
            return tuple(one.from_toml(number) for number in value)
        except Rejected:
            raise Rejected(f"must be {self.allowed}") from None


def choice(*words: str) -> Text:
    """One of a few words, spelt exactly."""
    allowed = " or ".join(f'"{word}"' for word in words)

    def read(text: str) -> str:
        if text not in words:
            raise Rejected(f"must be {allowed}")
        return text

    return Text(allowed, read)
