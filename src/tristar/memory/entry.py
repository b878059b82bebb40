"""What the memory holds, what may be put into it, and what can be asked of it."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, get_args

from tristar.errors import BadRequest, Conflict

EntryType = Literal["fact", "decision", "code", "summary", "context", "todo"]
Vote = Literal["validate", "contradict"]
Edit = Literal["created", "updated", "validated", "contradicted"]
Mode = Literal["text", "semantic", "hybrid"]
"""By which a search ranks: words, meaning, or both."""

ENTRY_TYPES: Final[tuple[EntryType, ...]] = get_args(EntryType)
ENTRY_ID: Final = re.compile("mem_[0-9a-f]{32}")
DEFAULT_PROJECT: Final = "default"
CONTENT_BYTES: Final = 256 * 1024
NAME_CHARS: Final = 128
QUERY_CHARS: Final = 1000
SUBJECT_CHARS: Final = 256
TAGS: Final = 32
LARGEST_PAGE: Final = 100
LONGEST_TTL_S: Final = 10 * 365 * 86_400
VOTE_WEIGHT: Final[dict[Vote, float]] = {"validate": 0.05, "contradict": -0.1}
VOTE_EDIT: Final[dict[Vote, Edit]] = {"validate": "validated", "contradict": "contradicted"}


class VersionMismatch(Conflict):
    """The entry is no longer at the version that `If-Match` names; nothing was written.

    Client action: read the entry again, and apply the change to what it is now.
    """

    status, code = 412, "version_mismatch"


@dataclass(frozen=True)
class Caller:
    """On whose behalf the memory is used; `projects` of None means all of them."""

    key_id: str
    trace_id: str
    projects: frozenset[str] | None = None


@dataclass(frozen=True)
class Draft:
    """An entry to be. `project` of None is the caller's only one, else `default`."""

    content: str
    type: EntryType = "fact"
    project: str | None = None
    tags: tuple[str, ...] = ()
    importance: float = 0.5
    confidence: float = 0.5
    llm_id: str | None = None
    ttl_s: float | None = None
    subject: str | None = None
    """The person that it is about, as callers name users: with them, it is forgotten."""
    expires_at_us: int | None = None
    """Its end, where `ttl_s` is None; one that is over makes an entry that nobody sees."""


@dataclass(frozen=True)
class Change:
    """What shall be different; None leaves a field as it is.

    `ttl_s` counts from now; `keep` removes the end that the entry had.
    """

    content: str | None = None
    type: EntryType | None = None
    project: str | None = None
    tags: tuple[str, ...] | None = None
    importance: float | None = None
    confidence: float | None = None
    llm_id: str | None = None
    ttl_s: float | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry at one version. Times are microseconds since the Unix epoch.

    `content_hash` is `sha256:` and the hex digest of the content's UTF-8.
    """

    id: str
    content: str
    type: EntryType
    project: str
    tags: tuple[str, ...]
    importance: float
    confidence: float
    created_by: str
    llm_id: str | None
    trace_id: str
    version: int
    content_hash: str
    created_at_us: int
    updated_at_us: int
    expires_at_us: int | None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """What an entry was at one version, and who made it so."""

    version: int
    change: Edit
    content: str
    type: EntryType
    project: str
    tags: tuple[str, ...]
    importance: float
    confidence: float
    changed_by: str
    llm_id: str | None
    trace_id: str
    content_hash: str
    changed_at_us: int
    expires_at_us: int | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries of one type a project has."""

    project: str
    type: str
    entries: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text means to a model: a vector of length 1 and `dims` parts, little-endian half precision."""

    model: str
    dims: int
    vector: bytes = field(repr=False)


class Packed(NamedTuple):
    """A vector as it is kept: of length 1, in half precision; and the signs of its parts."""

    dims: int
    vector: bytes
    bits: bytes


@dataclass(frozen=True)
class Query:
    """Which entries: all that fit every condition. `words` of None lists, newest first.

    With `any_word`, one of the words suffices, and more of them rank higher. `mode` of None is the best that
    there is; other than `text` needs the `meaning` of the words, and without it words alone count.
    """

    words: str | None = None
    any_word: bool = False
    type: EntryType | None = None
    project: str | None = None
    tags: tuple[str, ...] = ()
    min_confidence: float | None = None
    subject: str | None = None
    limit: int = 20
    cursor: str | None = None
    mode: Mode | None = None
    meaning: Meaning | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that fits; `score` grows with relevance and is None in a plain list."""

    entry: Entry
    score: float | None = None


@dataclass(frozen=True)
class Page:
    """Some of what fits; `next_cursor` continues, None at the end.

    `mode` is by what it was ranked, None in a plain list; `notice` says why that is less than was asked for.
    """

    found: Sequence[Found]
    next_cursor: str | None
    mode: Mode | None = None
    notice: str | None = None


def content_hash(content: str) -> str:
    """The name of a content in the audit log, which never holds the content itself."""
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def check_draft(draft: Draft) -> None:
    """Let pass only what every engine stores and returns unchanged.

    Raises:
        BadRequest: a field is out of its range; `param` names it.
    """
    _check_content(draft.content)
    if draft.subject is not None:
        check_subject(draft.subject)
    _check_rest(draft)


def check_change(change: Change) -> None:
    """As `check_draft`, for the fields that are to change.

    Raises:
        BadRequest: a field is out of its range, or none is to change.
    """
    if change == Change():
        raise BadRequest("The change names no field; send at least one of content, type, project, tags, …")
    if change.content is not None:
        _check_content(change.content)
    if change.keep and change.ttl_s is not None:
        raise BadRequest("ttl_s cannot be both a number and null.", param="ttl_s")
    _check_rest(change)


def check_name(value: str, param: str) -> None:
    """Let pass a short, printable, stable name.

    Raises:
        BadRequest: it is empty, too long, or has control characters or outer spaces.
    """
    if not 0 < len(value) <= NAME_CHARS:
        raise BadRequest(f"{param} must have 1 to {NAME_CHARS} characters.", param=param)
    if not value.isprintable() or value != value.strip():
        raise BadRequest(f"{param} must be printable, without spaces around it.", param=param)


def check_subject(value: str) -> None:
    """Let pass the name of a person, as callers have it.

    Raises:
        BadRequest: it is empty, too long, or no text.
    """
    if not 0 < len(value) <= SUBJECT_CHARS:
        raise BadRequest(f"subject must have 1 to {SUBJECT_CHARS} characters.", param="subject")
    if "\0" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise BadRequest("subject holds what is not text; remove it.", param="subject")


def _check_content(content: str) -> None:
    if not content.strip():
        raise BadRequest("content is empty; send the text to remember.", param="content")
    if "\0" in content:
        raise BadRequest("content holds a null character (U+0000); remove it.", param="content")
    try:
        content_bytes = len(content.encode())
    except UnicodeEncodeError as error:
        raise BadRequest(
            "content holds half of a surrogate pair, which is not text; remove it.", param="content"
        ) from error
    if content_bytes > CONTENT_BYTES:
        raise BadRequest(
            f"content has {content_bytes} bytes; at most {CONTENT_BYTES} are kept. Split or summarise it.",
            param="content",
        )


def _check_rest(asked: Draft | Change) -> None:
    for param, value in (("project", asked.project), ("llm_id", asked.llm_id)):
        if value is not None:
            check_name(value, param)
    if asked.type is not None:
        check_type(asked.type)
    check_tags(asked.tags or ())
    for param, share in (("importance", asked.importance), ("confidence", asked.confidence)):
        if share is not None and not 0 <= share <= 1:
            raise BadRequest(f"{param} must be from 0 to 1.", param=param)
    if asked.ttl_s is not None and not (math.isfinite(asked.ttl_s) and 0 < asked.ttl_s <= LONGEST_TTL_S):
        raise BadRequest(f"ttl_s must be more than 0 and at most {LONGEST_TTL_S}.", param="ttl_s")


def check_type(value: str) -> None:
    """Let pass one of `ENTRY_TYPES`.

    Raises:
        BadRequest: it is something else.
    """
    if value not in ENTRY_TYPES:
        raise BadRequest(f"type must be one of: {', '.join(ENTRY_TYPES)}.", param="type")


def check_tags(tags: Sequence[str]) -> None:
    """Let pass a set of names.

    Raises:
        BadRequest: there are too many, or one is no name.
    """
    if len(tags) > TAGS:
        raise BadRequest(f"At most {TAGS} tags are kept.", param="tags")
    for tag in tags:
        check_name(tag, "tags")
        if "," in tag:
            raise BadRequest("A tag has no comma: in a query, commas separate tags.", param="tags")
