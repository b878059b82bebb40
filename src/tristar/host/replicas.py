"""What this host has in common with all other replicas: limits and breakers, through one Redis."""

import asyncio
from typing import Final

from tristar.host.conditions import Conditions, Status
from tristar.limits.limiter import Readable
from tristar.limits.shared import SharedLimiter
from tristar.routing.board import Board
from tristar.routing.shared import SharedBoard

NAME: Final = "redis"


class Replicas:
    """The shared limiter and the shared breakers as one dependency: it fares as the worse of the two.

    Construct, hand `turned` to both as what they tell of their turns, then `join` them.
    """

    def __init__(self, conditions: Conditions, *, refuse: bool) -> None:
        self._conditions = conditions
        self._away: Status = "down" if refuse else "degraded"
        self._limiter: SharedLimiter | None = None
        self._board: SharedBoard | None = None

    def join(self, limiter: SharedLimiter, board: SharedBoard) -> tuple[Readable, Board]:
        """Take both; they are returned as what they do for a host."""
        self._limiter, self._board = limiter, board
        return limiter, board

    def turned(self, reason: str) -> None:
        """One of the two went away from Redis, or came back to it.

        The other goes with it: a request that has waited for one deadline does not wait for a second.
        """
        both = (self._limiter, self._board)
        if reason:
            for one in both:
                if one is not None:
                    one.turn_away(reason)
        ailing = reason or next((one.unwell for one in both if one is not None and one.unwell), "")
        self._conditions.note(NAME, self._away if ailing else "ok", ailing)

    async def open(self) -> None:
        """Connect; a Redis that is away keeps nobody from starting."""
        if self._limiter is not None and self._board is not None:
            await asyncio.gather(self._limiter.open(), self._board.open())
            self.turned("")

    async def close(self) -> None:
        """Say what was still to be said, and hang up."""
        if self._limiter is not None and self._board is not None:
            await asyncio.gather(self._limiter.close(), self._board.close())
