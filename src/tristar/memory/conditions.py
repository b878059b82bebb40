"""Which rows of `memory_entries` a question is about."""

from typing import Any

from sqlalchemy import ColumnElement, Select, exists, or_, select

from tristar.memory.entry import Caller, Query
from tristar.storage.schema import memory_entries, memory_tags

_entries = memory_entries.c


def live(now_us: int) -> ColumnElement[bool]:
    """Those whose time has not come."""
    return or_(_entries.expires_at.is_(None), _entries.expires_at > now_us)


def within(caller: Caller) -> list[ColumnElement[bool]]:
    """Those of the caller's projects."""
    return [] if caller.projects is None else [_entries.project.in_(sorted(caller.projects))]


def fitting(
    wanted: Select[Any],
    query: Query,
    caller: Caller,
    now_us: int,
    *,
    seq: ColumnElement[int] = _entries.seq,
    by_tag: bool = False,
) -> Select[Any]:
    """Those of `wanted` that fit everything that the query asks for, but for its words.

    `seq` is where their number is known first: tags are looked up by it, before the entry is read.
    `by_tag`: there is nothing better to begin with than the tags.
    """
    conditions = [live(now_us), *within(caller)]
    if query.project is not None:
        conditions.append(_entries.project == query.project)
    if query.type is not None:
        conditions.append(_entries.type == query.type)
    if query.subject is not None:
        conditions.append(_entries.subject == query.subject)
    if query.min_confidence is not None:
        conditions.append(_entries.confidence >= query.min_confidence)
    conditions += [_having(tag) if by_tag else _tagged(tag, seq) for tag in query.tags]
    return wanted.where(*conditions)


def _having(tag: str) -> ColumnElement[bool]:
    return _entries.seq.in_(select(memory_tags.c.entry_seq).where(memory_tags.c.tag == tag))


def _tagged(tag: str, seq: ColumnElement[int]) -> ColumnElement[bool]:
    return exists().where(memory_tags.c.entry_seq == seq, memory_tags.c.tag == tag)
