"""What every memory store guarantees, whichever engine is under it."""

from collections.abc import Sequence
from typing import Protocol

from tristar.memory.entry import Caller, Change, Count, Draft, Entry, Page, Query, Revision, Vote


class Store(Protocol):
    """The shared memory.

    Guarantees: what a method that writes has returned is durable, and seen by every later call in
    every process and replica. Each write is all or nothing. Two writes of one entry never lose
    one of them: versions count up by one. An entry whose time has come is gone at once from every
    method, before any sweep. A caller sees and touches only its own projects: an entry of another
    is `NotFound`, as if it did not exist.

    Every method raises `DatabaseDown`, which is `Unavailable`, when the database cannot be reached.
    """

    async def add(self, draft: Draft, caller: Caller) -> Entry:
        """Remember something.

        Raises:
            BadRequest: a field is out of its range.
            Forbidden: the project is not one of the caller's.
        """
        ...

    async def add_all(self, drafts: Sequence[Draft], caller: Caller) -> Sequence[Entry]:
        """Remember all of these, in their order, or none.

        Raises:
            BadRequest, Forbidden: as `add`, for the first draft at fault.
        """
        ...

    async def get(self, entry_id: str, caller: Caller) -> Entry:
        """One entry as it is now.

        Raises:
            NotFound: there is none of that id (any more).
        """
        ...

    async def change(
        self, entry_id: str, change: Change, caller: Caller, expected: int | None = None
    ) -> Entry:
        """Make some fields different; what it was stays in the history.

        Raises:
            BadRequest, Forbidden: as `add`.
            NotFound: as `get`.
            VersionMismatch: it is not at version `expected`.
        """
        ...

    async def remove(self, entry_id: str, caller: Caller, expected: int | None = None) -> Entry:
        """Forget an entry with its history and votes; returns what it was.

        Raises:
            NotFound: as `get`.
            VersionMismatch: it is not at version `expected`.
        """
        ...

    async def vote(self, entry_id: str, vote: Vote, llm_id: str, caller: Caller) -> Entry:
        """Let an llm confirm (confidence +0.05) or contradict (-0.1) an entry, within 0 and 1.

        Counts once per llm, kind of vote and content; a repeated vote changes nothing.

        Raises:
            BadRequest: `llm_id` is no name.
            NotFound: as `get`.
        """
        ...

    async def find(self, query: Query, caller: Caller) -> Page:
        """Entries that fit, best first if words are asked for, else newest first.

        Of very many that hold the words, the newest thousand that fit are ranked and found.

        Raises:
            BadRequest: a field is out of its range, or the cursor was not given out for this query.
        """
        ...

    async def history(self, entry_id: str, caller: Caller) -> Sequence[Revision]:
        """Every version of an entry, oldest first, the present one last.

        Raises:
            NotFound: as `get`.
        """
        ...

    async def live_entries(self) -> int:
        """How many entries there are at this moment, in all projects; expired ones do not count."""
        ...

    async def census(self, caller: Caller) -> Sequence[Count]:
        """How many live entries there are in each of the caller's projects, by type; the largest first."""
        ...

    async def about(self, subject: str) -> Sequence[Entry]:
        """Every entry about this person, of all projects, expired ones that are still there included."""
        ...

    async def forget(self, subject: str) -> int:
        """Delete every entry about this person, so that nothing of them can be read on disk; how many.

        That is: contents, history, tags, votes, words and vectors, in the database's live files.
        """
        ...

    async def sweep(self, limit: int = 500) -> int:
        """Delete up to `limit` expired entries for good; returns how many. Safe at any time, anywhere."""
        ...
