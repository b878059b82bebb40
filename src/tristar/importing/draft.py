"""A configuration in the making: tables in order, what remains to be done, what has no place here."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | float | bool | list[str] | list[float]
Table = dict[str, Value]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass
class Draft:
    """`tables` by their path; `to_do` is the operator's part, `left_out` what was not carried over."""

    tables: dict[tuple[str, ...], Table] = field(default_factory=dict)
    to_do: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def table(self, *path: str) -> Table:
        """The table of that path, made on first use."""
        return self.tables.setdefault(path, {})

    def remind(self, text: str) -> None:
        """Something to do, said once."""
        if text not in self.to_do:
            self.to_do.append(text)

    def leave_out(self, key: str, why: str) -> None:
        """Something that has no place here."""
        line = f"{key}: {why}"
        if line not in self.left_out:
            self.left_out.append(line)

    def toml(self) -> str:
        """The tables as a file that `tristar check` can judge."""
        blocks = []
        for path, table in self.tables.items():
            lines = [f"[{'.'.join(map(_key, path))}]"]
            lines += [f"{_key(name)} = {_value(value)}" for name, value in table.items()]
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks) + "\n"


def unread(table: Mapping[str, object], *known: str) -> list[str]:
    """The keys of a foreign table that nobody has looked at."""
    return [str(name) for name in table if name not in known]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _value(value: Value) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.12g}"
    return json.dumps(value, ensure_ascii=False)
