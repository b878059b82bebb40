"""Audit records for people: one line each, nothing in it that a terminal would obey."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import typer

COLUMNS: Final = ("TIME", "SEQ", "LEVEL", "ACTION", "RESOURCE", "STATUS", "OUTCOME", "USER", "TRACE")
_FIELDS: Final = (
    *("timestamp", "seq", "log_level", "action", "resource", "status", "outcome", "user_id", "trace_id"),
)


def cells(record: Mapping[str, object]) -> Sequence[str]:
    """The fields of `COLUMNS`; empty where the record has none."""
    return [shown(record.get(name)) for name in _FIELDS]


def print_whole(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns on a terminal, nothing cut: ids are there to be copied. In a pipe as `print_rows`."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    table = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shown(value: object) -> str:
    """The value as text on one line, control characters spelled out: clients choose paths and names."""
    if value is None:
        return ""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
