"""Which llms may answer a request, in order."""

from collections.abc import Callable, Sequence

import msgspec

from tristar.errors import Forbidden
from tristar.routing.catalog import Catalog, Llm, Pool
from tristar.routing.pool import Chooser

ROUTE_LIMIT = 16


def anything(llm_id: str) -> bool:
    """For `Wish.may_use`: every llm."""
    del llm_id
    return True


class Wish(msgspec.Struct, frozen=True):
    """What a request needs of its llms, and who may use which.

    `tokens` is how large it is, as far as that can be told; `one_model` keeps to llms with the same
    upstream model, since what they answer is compared.
    """

    may_use: Callable[[str], bool] = anything
    tokens: int = 0
    streamed: bool = False
    one_model: bool = False


ANY = Wish()


class Router:
    """Turns the model a client names into the llms to try."""

    def __init__(self, catalog: Catalog, chooser: Chooser) -> None:
        self.catalog = catalog
        self._chooser = chooser

    def adopt(self, catalog: Catalog) -> None:
        """Route over another catalogue from now on; requests on their way keep their route."""
        self.catalog = catalog

    def route(self, model: str, fallbacks: Sequence[str] | None, wish: Wish = ANY) -> list[Llm]:
        """The llm named, then its fallbacks (the client's own list wins), each once; a pool is its members.

        Who may use a pool may use its members through it.

        Raises:
            ModelNotFound: the model or one of the client's own fallbacks is not configured.
            Forbidden: the caller may not use what is named.
        """
        pool = self.catalog.pools.get(model)
        members = self._members(model, pool, wish)
        if not members:
            raise Forbidden(f"This key may not use the model {model!r}.", param="model")
        own = members[0].fallbacks if pool is None else pool.fallbacks
        route = self._ordered(pool, members, wish)
        for name in own if fallbacks is None else fallbacks[:ROUTE_LIMIT]:
            other = self.catalog.pools.get(name)
            ordered = self._ordered(other, self._members(name, other, wish), wish)
            route += [llm for llm in ordered if llm not in route]
        if wish.one_model:
            # the first that is named, not the first that is chosen: vectors of two models cannot be compared
            route = [llm for llm in route if llm.model == members[0].model]
        return route

    def _members(self, name: str, pool: Pool | None, wish: Wish) -> list[Llm]:
        if pool is None:
            llm = self.catalog.find(name)
            return [llm] if wish.may_use(name) else []
        whole = wish.may_use(name)
        return [self.catalog.find(member) for member in pool.pool if whole or wish.may_use(member)]

    def _ordered(self, pool: Pool | None, members: list[Llm], wish: Wish) -> list[Llm]:
        if pool is None or len(members) < 2:
            return list(members)
        return self._chooser.order(pool, members, wish.tokens, streamed=wish.streamed)
