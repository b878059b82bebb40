"""Entries with vectors, without an llm: the words of the scripted upstream give them."""

from dataclasses import dataclass, field

from tests.upstream.meaning import vector

from tristar.clock import Clock
from tristar.memory.backlog import Backlog
from tristar.memory.entry import Meaning, Mode, Query
from tristar.memory.neighbours import pack
from tristar.memory.opening import open_store
from tristar.memory.store import Store
from tristar.memory.vectors import Vectors
from tristar.storage.engine import Database

MODEL = "words-1"


def meaning(text: str, model: str = MODEL) -> Meaning:
    """What a text means to a model."""
    packed = pack(vector(text, model))
    return Meaning(model, packed.dims, packed.vector)


def about(text: str, mode: Mode = "semantic", model: str = MODEL, **conditions: object) -> Query:
    """A search for what a text means."""
    return Query(words=text, mode=mode, meaning=meaning(text, model), **conditions)  # type: ignore[arg-type]  # fields of a query


@dataclass
class Mind:
    """A memory with all that belongs to meaning, as one process has it."""

    database: Database
    clock: Clock
    vectors: Vectors = field(init=False)
    store: Store = field(init=False)
    backlog: Backlog = field(init=False)

    def __post_init__(self) -> None:
        self.vectors = Vectors(self.database, self.clock)
        self.store = open_store(self.database, self.clock, self.vectors)
        self.backlog = Backlog(self.database, self.clock)

    async def embed(self, model: str = MODEL) -> int:
        """Give every waiting entry its vector; how many got one."""
        kept = 0
        while taken := await self.backlog.take(50, 60.0):
            kept += await self.backlog.keep(
                model, [(each, pack(vector(each.content, model))) for each in taken]
            )
        self.vectors.outdated()
        return kept
