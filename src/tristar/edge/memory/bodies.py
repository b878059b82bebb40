"""The memory's shapes on the wire: what is asked in, and how an entry looks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tristar.memory.entry import (
    CONTENT_BYTES,
    LARGEST_PAGE,
    LONGEST_TTL_S,
    NAME_CHARS,
    QUERY_CHARS,
    SUBJECT_CHARS,
    TAGS,
    Change,
    Draft,
    Edit,
    Entry,
    EntryType,
    Mode,
    Page,
    Revision,
)
from tristar.memory.entry import Query as Wanted

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = 'Words that must all be there; `"in sequence"`, `begin*`, `-without`.'

Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS)]
Subject = Annotated[str, Field(min_length=1, max_length=SUBJECT_CHARS)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Content = Annotated[
    str, Field(min_length=1, max_length=CONTENT_BYTES, description="At most 256 KiB of UTF-8.")
]
Tags = Annotated[list[Name], Field(max_length=TAGS)]
Lifetime = Annotated[float, Field(gt=0, le=LONGEST_TTL_S, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=LARGEST_PAGE)]
Cursor = Annotated[str, Field(max_length=200, description="`next_cursor` of the page before.")]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NewEntry(_Body):
    """Something to remember."""

    content: Content
    type: EntryType = "fact"
    project: Name | None = Field(
        default=None, description="Without one: the key's only project, or `default`."
    )
    tags: Tags = []
    importance: Share = 0.5
    confidence: Share = 0.5
    llm_id: Name | None = Field(default=None, description="The llm that this comes from.")
    ttl_s: Lifetime | None = Field(default=None, description="Seconds until it is forgotten; null: never.")
    subject: Subject | None = Field(
        default=None, description="The person it is about; without one: the request's `x-user-id`."
    )


class ImportedEntry(NewEntry):
    """A line of an import: something to remember, or an entry as it was exported.

    What a gateway gives an entry by itself is given anew, but for its end.
    """

    id: str | None = None
    object: Literal["memory"] = "memory"
    created_by: str | None = None
    trace_id: str | None = None
    version: int | None = None
    content_hash: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: AwareDatetime | None = None


class Imported(BaseModel):
    """What came of an import."""

    imported: int
    ids: list[str] = Field(description="In the order of the lines.")


class EntryChange(_Body):
    """The fields to change; others stay. `ttl_s: null` removes the end."""

    content: Content | None = None
    type: EntryType | None = None
    project: Name | None = None
    tags: Tags | None = None
    importance: Share | None = None
    confidence: Share | None = None
    llm_id: Name | None = Field(default=None, description="The llm that the change comes from.")
    ttl_s: Lifetime | None = None


class Conditions(BaseModel):
    """Which entries; every condition must hold."""

    model_config = ConfigDict(extra="forbid")

    type: EntryType | None = None
    project: Name | None = None
    tags: Tags = Field(default=[], description="All of them; in a query repeated, or with commas.")
    min_confidence: Share | None = None
    subject: Subject | None = None
    limit: Limit = 20
    cursor: Cursor | None = None


class Search(Conditions):
    """Which entries, and the words in them."""

    q: Annotated[str, Field(max_length=QUERY_CHARS, description=_WORDS)] | None = None
    mode: Mode | None = Field(
        default=None,
        description="`text`: by words; `semantic`: by meaning; `hybrid`: by both, and the default where "
        "an embedding llm is configured.",
    )


class SearchBody(Search):
    """A search as a body."""

    model_config = ConfigDict(strict=True)


class Opinion(_Body):
    """An llm's word on an entry; it counts once per llm and content."""

    llm_id: Name


class EntryOut(BaseModel):
    """An entry as it is now."""

    id: str
    object: Literal["memory"] = "memory"
    content: str
    type: EntryType
    project: str
    tags: list[str]
    importance: float
    confidence: float
    created_by: str = Field(description="The id of the key that made it.")
    llm_id: str | None
    trace_id: str = Field(description="The trace in which it was made.")
    version: int
    content_hash: str = Field(description="sha256: and 64 hex digits; the audit log names content by it.")
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    subject: str | None = Field(description="The person it is about.")


class FoundOut(EntryOut):
    """An entry that fits a search."""

    score: float | None = Field(description="Grows with relevance, within one search; null without words.")


class FoundList(BaseModel):
    """A page of what fits: best first where words were asked for, else newest first."""

    data: list[FoundOut]
    next_cursor: str | None
    mode: Mode | None = Field(
        default=None, description="By what these were ranked; a plain list does not say."
    )
    notice: str | None = Field(default=None, description="Why that is less than was asked for.")


class RevisionOut(BaseModel):
    """What an entry was at one version."""

    version: int
    change: Edit
    content: str
    type: EntryType
    project: str
    tags: list[str]
    importance: float
    confidence: float
    changed_by: str
    llm_id: str | None
    trace_id: str
    content_hash: str
    changed_at: datetime
    expires_at: datetime | None


class RevisionList(BaseModel):
    """Every version, oldest first."""

    data: list[RevisionOut]
    next_cursor: None


def draft(body: NewEntry) -> Draft:
    """The entry to be."""
    return Draft(**body.model_dump(include=set(NewEntry.model_fields)) | {"tags": tuple(body.tags)})


def imported(body: ImportedEntry) -> Draft:
    """The entry to be, with the end that it had unless it is given another."""
    ends = None if body.expires_at is None else (body.expires_at - _EPOCH) // timedelta(microseconds=1)
    return replace(draft(body), expires_at_us=ends)


def change(body: EntryChange) -> Change:
    """What shall be different; a `ttl_s` of null, where it was sent, removes the end."""
    fields = body.model_dump(include=set(EntryChange.model_fields)) | {
        "tags": None if body.tags is None else tuple(body.tags),
        "keep": "ttl_s" in body.model_fields_set and body.ttl_s is None,
    }
    return Change(**fields)


def wanted(conditions: Conditions, words: str | None = None, mode: Mode | None = None) -> Wanted:
    """The query that these conditions, and words, mean."""
    tags = tuple(tag.strip() for several in conditions.tags for tag in several.split(",") if tag.strip())
    return Wanted(
        words=words,
        type=conditions.type,
        project=conditions.project,
        tags=tags,
        min_confidence=conditions.min_confidence,
        subject=conditions.subject,
        limit=conditions.limit,
        cursor=conditions.cursor,
        mode=mode,
    )


def shown(entry: Entry) -> dict[str, object]:
    """An entry as `EntryOut`."""
    return {
        "id": entry.id,
        "object": "memory",
        "content": entry.content,
        "type": entry.type,
        "project": entry.project,
        "tags": entry.tags,
        "importance": entry.importance,
        "confidence": entry.confidence,
        "created_by": entry.created_by,
        "llm_id": entry.llm_id,
        "trace_id": entry.trace_id,
        "version": entry.version,
        "content_hash": entry.content_hash,
        "created_at": _moment(entry.created_at_us),
        "updated_at": _moment(entry.updated_at_us),
        "expires_at": _moment(entry.expires_at_us),
        "subject": entry.subject,
    }


def listed(page: Page) -> dict[str, object]:
    """A page as `FoundList`."""
    data = [shown(found.entry) | {"score": found.score} for found in page.found]
    answer: dict[str, object] = {"data": data, "next_cursor": page.next_cursor}
    return answer if page.mode is None else answer | {"mode": page.mode, "notice": page.notice}


def past(revision: Revision) -> dict[str, object]:
    """A version as `RevisionOut`."""
    fields = {name: getattr(revision, name) for name in RevisionOut.model_fields if not name.endswith("_at")}
    return fields | {
        "changed_at": _moment(revision.changed_at_us),
        "expires_at": _moment(revision.expires_at_us),
    }


def _moment(us: int | None) -> datetime | None:
    return None if us is None else _EPOCH + timedelta(microseconds=us)
