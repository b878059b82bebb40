"""The entries that await a vector: who takes one on, what is kept of it, and when it is tried again."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tristar.clock import Clock
from tristar.memory import conditions
from tristar.memory.entry import Packed
from tristar.storage.engine import Database
from tristar.storage.schema import (
    memory_awaiting,
    memory_embeddings,
    memory_entries,
    memory_revision,
    memory_vectors,
)

EMBEDDED_CHARS = 8000
"""Of a longer content its beginning alone is given to the llm: about what most embedding models read."""

FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 24 * 3600.0

_entries = memory_entries.c
_awaiting = memory_awaiting.c
_embeddings = memory_embeddings.c


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry taken on: its content, as far as it is embedded, and the hash of all of it."""

    seq: int
    content: str
    content_hash: str
    tries: int


class Backlog:
    """The queue of one memory, shared by every process that works on it.

    Each entry is taken on by one process at a time. Every method raises `DatabaseDown`.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def waiting(self) -> int:
        """How many entries have no vector of their present content."""
        wanted = select(func.count()).select_from(memory_awaiting)
        counted: int = await self._database.read(lambda connection: connection.execute(wanted).scalar_one())
        return counted

    async def renew(self, model: str) -> int:
        """Let every entry wait that has a vector of another model; how many do so now."""
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        others = select(_embeddings.entry_seq, literal(0), literal(0)).where(_embeddings.model != model)
        again = dialect.insert(memory_awaiting).from_select(["entry_seq", "tries", "not_before"], others)
        statement = again.on_conflict_do_nothing()
        known = select(_embeddings.entry_seq).where(_embeddings.model != model).limit(1)
        if await self._database.read(lambda connection: connection.execute(known).first()) is None:
            return 0
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def take(self, limit: int, lease_s: float) -> Sequence[Waiting]:
        """Take on up to `limit` entries, the newest first; after `lease_s` another may do so."""
        now_us = self._now_us()
        ready = (
            select(_awaiting.entry_seq)
            .where(_awaiting.not_before <= now_us)
            .order_by(_awaiting.entry_seq.desc())
            .limit(limit)
        )
        if await self._database.read(lambda connection: connection.execute(ready.limit(1)).first()) is None:
            return ()
        content = func.substr(_entries.content, 1, EMBEDDED_CHARS).label("content")

        def work(connection: Connection) -> Sequence[Waiting]:
            seqs = connection.execute(ready.with_for_update(skip_locked=True)).scalars().all()
            until = now_us + round(lease_s * 1e6)
            connection.execute(
                update(memory_awaiting).where(_awaiting.entry_seq.in_(seqs)).values(not_before=until)
            )
            wanted = (
                select(_entries.seq, content, _entries.content_hash, _awaiting.tries)
                .join(memory_awaiting, _awaiting.entry_seq == _entries.seq)
                .where(_entries.seq.in_(seqs), conditions.live(now_us))
            )
            return [Waiting(*row) for row in connection.execute(wanted)]

        return await self._database.write(work)

    async def keep(self, model: str, embedded: Sequence[tuple[Waiting, Packed]]) -> int:
        """Keep these vectors, but of entries that are gone or changed by now; how many were kept."""
        by_seq = {waiting.seq: (waiting, packed) for waiting, packed in embedded}

        def work(connection: Connection) -> int:
            # Entries are locked before the revision, here as everywhere, and in one order.
            wanted = select(_entries.seq, _entries.content_hash).where(_entries.seq.in_(by_seq))
            there = connection.execute(wanted.order_by(_entries.seq).with_for_update())
            same = [row.seq for row in there if row.content_hash == by_seq[row.seq][0].content_hash]
            if not same:
                return 0
            for table in (memory_awaiting, memory_embeddings, memory_vectors):
                connection.execute(delete(table).where(table.c.entry_seq.in_(same)))
            revision = next_revision(connection)
            kept = [(seq, by_seq[seq][1]) for seq in same]
            signs = [
                {"entry_seq": seq, "model": model, "dims": each.dims, "revision": revision, "bits": each.bits}
                for seq, each in kept
            ]
            connection.execute(insert(memory_embeddings), signs)
            vectors = [{"entry_seq": seq, "vector": each.vector} for seq, each in kept]
            connection.execute(insert(memory_vectors), vectors)
            return len(kept)

        return await self._database.write(work)

    async def give_back(self, taken: Sequence[Waiting], wait_s: float) -> None:
        """Nothing is known against these entries: anybody may take them on again after `wait_s`."""
        not_before = self._now_us() + round(wait_s * 1e6)
        statement = (
            update(memory_awaiting)
            .where(_awaiting.entry_seq.in_([each.seq for each in taken]))
            .values(not_before=not_before)
        )
        await self._database.write(lambda connection: connection.execute(statement).close())

    async def refuse(self, taken: Waiting) -> None:
        """The llm does not take this entry: it is tried again after a minute, then ever more seldom."""
        wait_s = min(FIRST_WAIT_S * 2.0**taken.tries, LONGEST_WAIT_S)
        statement = (
            update(memory_awaiting)
            .where(_awaiting.entry_seq == taken.seq)
            .values(
                tries=case((_awaiting.tries < 30, _awaiting.tries + 1), else_=_awaiting.tries),
                not_before=self._now_us() + round(wait_s * 1e6),
            )
        )
        await self._database.write(lambda connection: connection.execute(statement).close())

    def _now_us(self) -> int:
        return round(self._clock.time() * 1e6)


def wait_anew(connection: Connection, seq: int) -> None:
    """Let entry `seq` wait for a vector of what it says now; what it had is gone."""
    for table in (memory_awaiting, memory_embeddings, memory_vectors):
        connection.execute(delete(table).where(table.c.entry_seq == seq))
    connection.execute(insert(memory_awaiting).values(entry_seq=seq, tries=0, not_before=0))


def moved(connection: Connection, seq: int) -> None:
    """Tell every process that entry `seq`, which is locked, is in another project now."""
    if connection.execute(select(_embeddings.dims).where(_embeddings.entry_seq == seq)).first() is None:
        return
    revision = next_revision(connection)
    connection.execute(
        update(memory_embeddings).where(_embeddings.entry_seq == seq).values(revision=revision)
    )


def next_revision(connection: Connection) -> int:
    """Move the revision on; nobody else does so until this transaction ends."""
    value = memory_revision.c.value
    moved_on: int = connection.execute(
        update(memory_revision).values(value=value + 1).returning(value)
    ).scalar_one()
    return moved_on
