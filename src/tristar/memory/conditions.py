"""Which rows of `memory_entries` a question is about.

Questions that have the same conditions share their statements, which are told the values apart.
"""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Float, Select, Text, bindparam, exists, or_, select

from tristar.memory.entry import Caller, Query
from tristar.storage.schema import memory_entries, memory_tags

_entries = memory_entries.c
_NOW = bindparam("now_us", type_=_entries.expires_at.type)


class Shape(NamedTuple):
    """Which conditions a question has: those on columns of the entry, and how many tags."""

    within: bool
    project: bool
    type: bool
    subject: bool
    min_confidence: bool
    tags: int

    @property
    def narrow(self) -> bool:
        """Whether there are conditions beside projects, which vectors know themselves."""
        return self.type or self.subject or self.min_confidence or self.tags > 0


def shape(query: Query, caller: Caller) -> Shape:
    """The conditions of this caller's question, without their values."""
    return Shape(
        within=caller.projects is not None,
        project=query.project is not None,
        type=query.type is not None,
        subject=query.subject is not None,
        min_confidence=query.min_confidence is not None,
        tags=len(query.tags),
    )


def values(query: Query, caller: Caller, now_us: int) -> dict[str, Any]:
    """What a statement of this question's shape is told."""
    told: dict[str, Any] = {"now_us": now_us}
    if caller.projects is not None:
        told["projects"] = sorted(caller.projects)
    for name in ("project", "type", "subject", "min_confidence"):
        if (value := getattr(query, name)) is not None:
            told[name] = value
    return told | {f"tag_{number}": tag for number, tag in enumerate(query.tags)}


def live(now_us: int) -> ColumnElement[bool]:
    """Those whose time has not come."""
    return or_(_entries.expires_at.is_(None), _entries.expires_at > now_us)


def within(caller: Caller) -> list[ColumnElement[bool]]:
    """Those of the caller's projects."""
    return [] if caller.projects is None else [_entries.project.in_(sorted(caller.projects))]


def of_entries(wanted: Select[Any], shape: Shape, *, by_tag: bool = False) -> Select[Any]:
    """Those of `wanted`, a select of entries, that fit everything but the words.

    `by_tag`: there is nothing better to begin with than the tags.
    """
    fit = _having if by_tag else _tagged
    tagged = [fit(number, _entries.seq) for number in range(shape.tags)]
    return wanted.where(
        or_(_entries.expires_at.is_(None), _entries.expires_at > _NOW), *_asked(shape), *tagged
    )


def beside(wanted: Select[Any], shape: Shape, seq: ColumnElement[int]) -> Select[Any]:
    """As `of_entries`, for a select of what belongs to entries: `seq` is their number.

    Reads no entry where none of its columns is asked about: those that have expired are few, and known by
    an index, until they are swept. Tags are looked up before the entry is read.
    """
    wanted = wanted.where(*(_tagged(number, seq) for number in range(shape.tags)))
    if not any(shape[:-1]):
        return wanted.where(seq.not_in(select(_entries.seq).where(_entries.expires_at <= _NOW)))
    # No join: SQLite would begin with the project's index.
    theirs = of_entries(select(_entries.seq), shape._replace(tags=0))
    return wanted.where(theirs.where(_entries.seq == seq).exists())


def _asked(shape: Shape) -> list[ColumnElement[bool]]:
    fits = {
        "within": _entries.project.in_(bindparam("projects", expanding=True)),
        "project": _entries.project == bindparam("project", type_=Text),
        "type": _entries.type == bindparam("type", type_=Text),
        "subject": _entries.subject == bindparam("subject", type_=Text),
        "min_confidence": _entries.confidence >= bindparam("min_confidence", type_=Float(53)),
    }
    return [fit for name, fit in fits.items() if getattr(shape, name)]


def _having(number: int, seq: ColumnElement[int]) -> ColumnElement[bool]:
    return seq.in_(select(memory_tags.c.entry_seq).where(memory_tags.c.tag == _tag(number)))


def _tagged(number: int, seq: ColumnElement[int]) -> ColumnElement[bool]:
    return exists().where(memory_tags.c.entry_seq == seq, memory_tags.c.tag == _tag(number))


def _tag(number: int) -> ColumnElement[str]:
    return bindparam(f"tag_{number}", type_=Text)
