"""As much of DER (X.690) as time stamps need: definite lengths, tags of one byte."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

INTEGER: Final = 0x02
OCTETS: Final = 0x04
OID: Final = 0x06
TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
_MOST_LENGTH_BYTES: Final = 4


class DerInvalid(ValueError):
    """The bytes are not what they should be."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The one value that these bytes are. Raises DerInvalid."""
        element, end = _element(data, 0)
        if end != len(data):
            raise DerInvalid("bytes follow the value")
        return cls(element.tag, element.content, element.raw)

    def items(self) -> "Items":
        """The values within. Raises DerInvalid while they are taken."""
        return Items(self)

    @property
    def number(self) -> int:
        """The value of an INTEGER."""
        return int.from_bytes(self.content, "big", signed=True)


class Items:
    """Takes the values within another one by one, by their tags."""

    def __init__(self, outer: Element) -> None:
        self._rest = list(_within(outer.content))

    def take(self, tag: int) -> Element:
        """The next value, which must have this tag. Raises DerInvalid."""
        found = self.maybe(tag)
        if found is None:
            raise DerInvalid(f"no value of tag {tag:#x} where one should be")
        return found

    def maybe(self, tag: int) -> Element | None:
        """The next value if it has this tag; it then is taken."""
        if self._rest and self._rest[0].tag == tag:
            return self._rest.pop(0)
        return None

    def __iter__(self) -> Iterator[Element]:
        return iter(self._rest)


def _within(content: bytes) -> Iterator[Element]:
    at = 0
    while at < len(content):
        element, at = _element(content, at)
        yield element


def _element(data: bytes, start: int) -> tuple[Element, int]:
    if len(data) < start + 2:
        raise DerInvalid("cut short")
    tag, length, at = data[start], data[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= _MOST_LENGTH_BYTES:
            raise DerInvalid("a length that is none")
        length, at = int.from_bytes(data[at : at + count], "big"), at + count
    end = at + length
    if end > len(data):
        raise DerInvalid("cut short")
    return Element(tag, data[at:end], data[start:end]), end


def encoded(tag: int, *parts: bytes) -> bytes:
    """A value of this tag that consists of these parts."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    return encoded(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *others = (int(part) for part in dotted.split("."))
    return encoded(OID, b"".join(_base128(arc) for arc in (40 * first + second, *others)))


def _base128(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | (value & 0x7F))
    return bytes(reversed(parts))
