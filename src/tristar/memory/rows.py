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
    """A row that begins with the columns of `memory_entries` as an entry."""
    # By position: names cost three times as much, and a page has twenty entries.
    values: Sequence[Any] = row
    _, entry_id, project, kind, content, digest, tags, importance, confidence, *rest = values
    created_by, llm_id, trace_id, version, created_at, updated_at, expires_at, subject = rest[:8]
    return Entry(
        id=entry_id,
        content=content,
        type=kind,
        project=project,
        tags=tuple(tags),
        importance=importance,
        confidence=confidence,
        created_by=created_by,
        llm_id=llm_id,
        trace_id=trace_id,
        version=version,
        content_hash=digest,
        created_at_us=created_at,
        updated_at_us=updated_at,
        expires_at_us=expires_at,
        subject=subject,
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


def put_new(connection: Connection, entries: Sequence[Entry]) -> Sequence[int]:
    """Keep new entries with their tags and first revisions, waiting for vectors; their sequence numbers.

    As many statements for a thousand entries as for one.
    """
    seq = memory_entries.c.seq
    made = insert(memory_entries).returning(seq, sort_by_parameter_order=True)
    seqs = connection.execute(made, [columns(entry) for entry in entries]).scalars().all()
    pairs = list(zip(seqs, entries, strict=True))
    put_tags(connection, [(seq, entry.tags) for seq, entry in pairs])
    waiting = [{"entry_seq": seq, "tries": 0, "not_before": 0} for seq in seqs]
    connection.execute(insert(memory_awaiting), waiting)
    makers = [Caller(entry.created_by, entry.trace_id) for entry in entries]
    revisions = [
        _revision(seq, entry, "created", maker, entry.llm_id)
        for (seq, entry), maker in zip(pairs, makers, strict=True)
    ]
    connection.execute(insert(memory_history), revisions)
    return seqs


def put_revision(
    connection: Connection, seq: int, entry: Entry, edit: Edit, *, caller: Caller, llm_id: str | None
) -> None:
    """Keep what entry `seq` is from now on, and who made it so."""
    connection.execute(insert(memory_history), _revision(seq, entry, edit, caller, llm_id))


def _revision(seq: int, entry: Entry, edit: Edit, caller: Caller, llm_id: str | None) -> dict[str, Any]:
    kept = columns(entry)
    for absent in ("id", "created_by", "created_at", "updated_at", "subject"):
        del kept[absent]
    return kept | {
        "entry_seq": seq,
        "change": edit,
        "changed_by": caller.key_id,
        "llm_id": llm_id,
        "trace_id": caller.trace_id,
        "changed_at": entry.updated_at_us,
    }


def put_tags(connection: Connection, tagged: Sequence[tuple[int, Sequence[str]]]) -> None:
    """Let entries, which have none yet, be found by these tags."""
    pairs = [{"tag": tag, "entry_seq": seq} for seq, tags in tagged for tag in tags]
    if pairs:
        connection.execute(insert(memory_tags), pairs)


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
