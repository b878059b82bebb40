"""In which order a request tries the members of a pool."""

from collections.abc import Sequence
from random import Random

from tristar.routing.catalog import Llm, Pool
from tristar.routing.load import Loads


class Chooser:
    """Puts the members of a pool into the order in which one request tries them. One per process."""

    def __init__(self, loads: Loads, random: Random) -> None:
        self._loads = loads
        self._random = random

    def order(self, pool: Pool, members: Sequence[Llm], tokens: int, *, streamed: bool) -> list[Llm]:
        """All of `members`, the best first; those whose context is smaller than `tokens` come last.

        A member's breaker is asked when its turn comes: the next one takes the place of one that rests.
        """
        ranked = sorted(
            self._shuffled(pool, members), key=lambda llm: self._rank(pool, llm, streamed=streamed)
        )
        return sorted(ranked, key=lambda llm: llm.context_tokens is not None and llm.context_tokens < tokens)

    def _rank(self, pool: Pool, llm: Llm, *, streamed: bool) -> float:
        match pool.choose:
            case "least_busy":
                return (self._loads.in_flight(llm.llm_id) + 1) / pool.weight(llm.llm_id)
            case "lowest_latency":
                return self._loads.latency_s(llm.llm_id, streamed=streamed) / pool.weight(llm.llm_id)
            case _:
                return 0.0

    def _shuffled(self, pool: Pool, members: Sequence[Llm]) -> list[Llm]:
        """By chance: first places in proportion to the weights, and so on for those that are left.

        The least of exponential variates is each one's in proportion to its rate.
        """
        return sorted(members, key=lambda llm: self._random.expovariate(pool.weight(llm.llm_id)))
