"""Anything at all, made into plain, redacted, bounded JSON values.

Callers hand the audit log whatever they have at hand: NaN, 2**70, bytes, sets, cycles, exceptions,
objects whose `repr` raises, lone surrogates, fifty megabytes. Each comes out as something that every
JSON reader accepts, secrets replaced on the way, and no caller ever gets an error for it.
"""

import datetime as dt
import decimal
import enum
import itertools
import math
import pathlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from tristar.audit import redact

CUT_KEY = "_truncated"
"""Stands, as `true`, in `details` from which something was cut for want of room."""

_COST_CHARS = 4
"""What a value costs beside its text: quotes, a comma, a colon."""

_DEPTH = 12
_KEY_CHARS = 256
_INTEGER_BITS = 63

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_VERBATIM = (dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, pathlib.PurePath)


def text(value: object, limit_chars: int, clean: Callable[[str], str] = redact.text) -> str:
    """The value as redacted text of at most `limit_chars` characters and a mark where it was cut.

    Lone surrogates become `\\udXXX`, spelled out. Never raises.
    """
    raw = _spell(value)
    total = len(raw)
    shown = clean(_encodable(raw[: limit_chars + redact.LONGEST_SECRET_CHARS]))
    if total <= limit_chars + redact.LONGEST_SECRET_CHARS and len(shown) <= limit_chars:
        return shown
    return f"{shown[:limit_chars]}…[of {total} characters]"


def mapping(details: object, budget_chars: int) -> dict[str, object]:
    """The details of a record: a plain object of about `budget_chars` characters at most.

    What is not a mapping becomes `{"value": …}`. If anything was cut, `CUT_KEY` says so.
    """
    walk = _Walk(budget_chars)
    plain = walk.value(details, 0)
    shown = plain if isinstance(plain, dict) else {"value": plain}
    if walk.cut:
        shown[CUT_KEY] = True
    return shown


def newest(values: Sequence[object], budget_chars: int, clean: Callable[[str], str]) -> list[object]:
    """The last of these values that fit into about so many characters, plain, in their order.

    What was left out before them is counted in a first element, `{CUT_KEY: count}`.
    """
    walk, kept = _Walk(budget_chars, budget_chars, clean), list[object]()
    for value in reversed(values):
        if walk.left <= 0:
            break
        kept.append(walk.value(value, 0))
    if len(kept) < len(values):
        kept.append({CUT_KEY: len(values) - len(kept)})
    return kept[::-1]


class _Walk:
    """One pass over one value, with what may still be spent on it."""

    def __init__(
        self,
        budget_chars: int,
        limit_chars: int | None = None,
        clean: Callable[[str], str] = redact.text,
    ) -> None:
        self.left = budget_chars
        self.limit_chars = max(64, budget_chars // 4) if limit_chars is None else limit_chars
        self._clean = clean
        self.cut = False
        self._path: set[int] = set()

    def value(self, value: object, depth: int) -> object:
        """The plain form of any value. Never raises."""
        self.left -= _COST_CHARS
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int or kind is float:
            return self._number(value)  # type: ignore[arg-type]  # `kind` has just been compared
        try:
            return self._other(value, depth)
        except Exception as error:  # noqa: BLE001 - a caller's object may raise anything from any method
            return f"<{_type_name(value)}: {type(error).__name__}>"

    def _other(self, value: object, depth: int) -> object:
        if isinstance(value, enum.Enum):
            return self.value(value.value, depth + 1) if depth < _DEPTH else self._text(str(value))
        if isinstance(value, bool | str | int | float):
            return self._number(value) if isinstance(value, int | float) else self._text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(value)
        if isinstance(value, BaseException):
            return {"error": _type_name(value), "message": self._text(value)}
        if isinstance(value, Mapping):
            return self._inside(value, depth, self._mapping)
        if isinstance(value, list | tuple | AbstractSet):
            return self._inside(value, depth, self._sequence)
        return self._text(value if isinstance(value, _VERBATIM) else _repr(value))

    def _inside(self, value: object, depth: int, enter: Callable[[Any, int], object]) -> object:
        """Enter a container, unless it is one we are in already or lies too deep."""
        if id(value) in self._path:
            return "<cycle>"
        if depth >= _DEPTH:
            self.cut = True
            return "<nested too deeply>"
        self._path.add(id(value))
        try:
            return enter(value, depth + 1)
        finally:
            self._path.discard(id(value))

    def _mapping(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        plain: dict[str, object] = {}
        for key, item in value.items():
            if self.left <= 0:
                self.cut = True
                break
            name = self._key(key, plain)
            plain[name] = self._field(name, item, depth)
        return plain

    def _key(self, key: object, taken: dict[str, object]) -> str:
        name = text(key, _KEY_CHARS, self._clean)
        self.left -= len(name)
        if name not in taken:
            return name
        return next(other for n in itertools.count(2) if (other := f"{name}#{n}") not in taken)

    def _field(self, name: str, item: object, depth: int) -> object:
        if item is None or isinstance(item, bool) or not redact.names_secret(name):
            return self.value(item, depth)
        return redact.MARK

    def _sequence(self, value: Iterable[object], depth: int) -> list[object]:
        if type(value) is list and self._affords(value) and redact.all_ours(value):
            self.left -= sum(map(len, value)) + _COST_CHARS * len(value)
            return list(value)
        if isinstance(value, AbstractSet):
            value = sorted(itertools.islice(value, max(1, self.left)), key=_sort_key)
        name = _header_name(value)
        if name is not None:
            return [self._text(name), redact.MARK]
        plain: list[object] = []
        for item in value:
            if self.left <= 0:
                self.cut = True
                break
            plain.append(self.value(item, depth))
        return plain

    def _affords(self, value: list[object]) -> bool:
        """Whether nothing in it would be cut, were it ids and hashes of ours."""
        room = min(self.limit_chars, self.left // max(1, len(value)) - _COST_CHARS)
        return room >= redact.LONGEST_OURS_CHARS

    def _text(self, value: object) -> str:
        limit_chars = max(0, min(self.limit_chars, self.left))
        shown = text(value, limit_chars, self._clean)
        self.left -= len(shown)
        self.cut = self.cut or len(shown) > limit_chars
        return shown

    def _bytes(self, value: bytes | bytearray | memoryview) -> str:
        head = bytes(value[: self.limit_chars + redact.LONGEST_SECRET_CHARS])
        try:
            return self._text(head.decode())
        except UnicodeDecodeError as error:
            if len(head) == len(value) or error.start < len(head) - 3:
                return f"<{len(value)} bytes>"
            return self._text(head[: error.start].decode())

    def _number(self, value: int | float) -> object:  # noqa: PYI041 - the two are told apart below
        if isinstance(value, float):
            number = float(value)
            return number if math.isfinite(number) else _NOT_FINITE[str(number)]
        if value.bit_length() <= _INTEGER_BITS:
            return redact.number(int(value))
        if value.bit_length() > 4096:
            self.cut = True
            return f"<integer of {value.bit_length()} bits>"
        return self._text(str(int(value)))


def _header_name(value: object) -> str | None:
    """The name in a pair such as `(b"authorization", b"Bearer …")`, if it names a secret."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not isinstance(value[0], str | bytes):
        return None
    name = _spell(value[0])
    return name if redact.names_secret(name) else None


def _spell(value: object) -> str:
    if type(value) is str:
        return value
    try:
        if isinstance(value, bytes):
            return value[:65536].decode("utf-8", "backslashreplace")
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception as error:  # noqa: BLE001 - a caller's `__str__` may raise anything
        return f"<{_type_name(value)}: {type(error).__name__}>"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a caller's `__repr__` may raise anything
        return f"<{_type_name(value)}: {type(error).__name__} in repr>"


def _encodable(value: str) -> str:
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _sort_key(value: object) -> str:
    return _spell(value)[:64]


def _type_name(value: object) -> str:
    return type(value).__name__[:_KEY_CHARS]
