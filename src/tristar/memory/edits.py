"""What becomes of an entry: made from a draft, changed, voted on. Pure functions; nothing is stored here."""

import math
import secrets
from dataclasses import replace

from tristar.errors import Forbidden
from tristar.memory.entry import (
    DEFAULT_PROJECT,
    VOTE_WEIGHT,
    Caller,
    Change,
    Draft,
    Entry,
    Vote,
    content_hash,
)


def new_entry(draft: Draft, project: str, caller: Caller, now_us: int) -> Entry:
    """The entry that a draft makes at this time."""
    return Entry(
        id="mem_" + secrets.token_hex(16),
        content=draft.content,
        type=draft.type,
        project=project,
        tags=tuple(sorted(set(draft.tags))),
        importance=draft.importance,
        confidence=draft.confidence,
        created_by=caller.key_id,
        llm_id=draft.llm_id,
        trace_id=caller.trace_id,
        version=1,
        content_hash=content_hash(draft.content),
        created_at_us=now_us,
        updated_at_us=now_us,
        expires_at_us=draft.expires_at_us if draft.ttl_s is None else _ends(now_us, draft.ttl_s),
        subject=draft.subject,
    )


def changed(entry: Entry, change: Change, now_us: int) -> Entry:
    """The entry with the change made, one version on."""
    content = entry.content if change.content is None else change.content
    expires_at_us = None if change.keep else entry.expires_at_us
    return replace(
        entry,
        content=content,
        content_hash=content_hash(content),
        type=change.type or entry.type,
        project=change.project or entry.project,
        tags=entry.tags if change.tags is None else tuple(sorted(set(change.tags))),
        importance=entry.importance if change.importance is None else change.importance,
        confidence=entry.confidence if change.confidence is None else change.confidence,
        version=entry.version + 1,
        updated_at_us=now_us,
        expires_at_us=expires_at_us if change.ttl_s is None else _ends(now_us, change.ttl_s),
    )


def voted(entry: Entry, vote: Vote, now_us: int) -> Entry:
    """The entry with the vote counted, one version on."""
    # Rounded, so that twenty votes for and ten against lead back to where they began.
    confidence = round(min(1.0, max(0.0, entry.confidence + VOTE_WEIGHT[vote])), 6)
    return replace(entry, confidence=confidence, version=entry.version + 1, updated_at_us=now_us)


def _ends(now_us: int, ttl_s: float) -> int:
    return now_us + math.ceil(ttl_s * 1e6)


def own_project(project: str | None, caller: Caller) -> str:
    """The project that the caller means.

    Raises:
        Forbidden: it is not one of theirs.
    """
    if project is None:
        only_one = caller.projects is not None and len(caller.projects) == 1
        project = next(iter(caller.projects)) if caller.projects and only_one else DEFAULT_PROJECT
    if caller.projects is not None and project not in caller.projects:
        raise Forbidden(f"This key has no access to project {project!r}.", param="project")
    return project
