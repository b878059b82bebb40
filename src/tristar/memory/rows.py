"""Entries as rows and back."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from tristar.memory.entry import Caller, Edit, Entry, Revision, Vote
from tristar.storage.schema import (
    memory_awaiting,
    memory_entries,
    memory_history,
    memory_tags,
    memory_votes,
)


def columns(entry: Entry) -> dict[str, Any]:
    """An entry as the columns of `memory_entries`."""
    return {
        "id": entry.id,
        "content": entry.content,
        "type": entry.type,
        "project": entry.project,
        "tags": list(entry.tags),
        "importance": entry.importance,
        "confidence": entry.confidence,
        "created_by": entry.created_by,
        "llm_id": entry.llm_id,
        "trace_id": entry.trace_id,
        "version": entry.version,
        "content_hash": entry.content_hash,
        "created_at": entry.created_at_us,
        "updated_at": entry.updated_at_us,
        "expires_at": entry.expires_at_us,
        "subject": entry.subject,
    }


def entry(row: Row[Any]) -> Entry:
    """A row of `memory_entries` as an entry."""
    return Entry(
        id=row.id,
        content=row.content,
        type=row.type,
        project=row.project,
        tags=tuple(row.tags),
        importance=row.importance,
        confidence=row.confidence,
        created_by=row.created_by,
        llm_id=row.llm_id,
        trace_id=row.trace_id,
        version=row.version,
        content_hash=row.content_hash,
        created_at_us=row.created_at,
        updated_at_us=row.updated_at,
        expires_at_us=row.expires_at,
        subject=row.subject,
    )


def revision(row: Row[Any]) -> Revision:
    """A row of `memory_history` as a revision."""
    return Revision(
        version=row.version,
        change=row.change,
        content=row.content,
        type=row.type,
        project=row.project,
        tags=tuple(row.tags),
        importance=row.importance,
        confidence=row.confidence,
        changed_by=row.changed_by,
        llm_id=row.llm_id,
        trace_id=row.trace_id,
        content_hash=row.content_hash,
        changed_at_us=row.changed_at,
        expires_at_us=row.expires_at,
    )


def put_entry(connection: Connection, entry: Entry) -> int:
    """Keep a new entry; returns its sequence number."""
    made = insert(memory_entries).values(**columns(entry)).returning(memory_entries.c.seq)
    seq: int = connection.execute(made).scalar_one()
    return seq


def put_revision(
    connection: Connection, seq: int, entry: Entry, edit: Edit, *, caller: Caller, llm_id: str | None
) -> None:
    """Keep what entry `seq` is from now on, and who made it so."""
    kept = columns(entry)
    for absent in ("id", "created_by", "created_at", "updated_at", "subject"):
        del kept[absent]
    kept |= {
        "entry_seq": seq,
        "change": edit,
        "changed_by": caller.key_id,
        "llm_id": llm_id,
        "trace_id": caller.trace_id,
        "changed_at": entry.updated_at_us,
    }
    connection.execute(insert(memory_history).values(**kept))


def put_tags(connection: Connection, seq: int, tags: Sequence[str]) -> None:
    """Let entry `seq`, which has none, be found by these tags."""
    if tags:
        connection.execute(insert(memory_tags), [{"tag": tag, "entry_seq": seq} for tag in tags])


def put_awaiting(connection: Connection, seq: int) -> None:
    """Let the new entry `seq` wait for its vector."""
    connection.execute(insert(memory_awaiting).values(entry_seq=seq, tries=0, not_before=0))


def put_vote(
    connection: Connection, row: Row[Any], vote: Vote, llm_id: str, *, caller: Caller, at_us: int
) -> bool:
    """Keep a vote on the locked entry `row`; False if this llm has cast it before."""
    key = {"entry_seq": row.seq, "content_hash": row.content_hash, "llm_id": llm_id, "vote": vote}
    cast = select(memory_votes.c.voted_at).filter_by(**key)
    if connection.execute(cast).first() is not None:
        return False
    connection.execute(
        insert(memory_votes).values(**key, voted_by=caller.key_id, trace_id=caller.trace_id, voted_at=at_us)
    )
    return True
