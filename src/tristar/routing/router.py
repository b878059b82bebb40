"""Which llms may answer a request, in order."""

from collections.abc import Sequence

from tristar.routing.catalog import Catalog, Llm

ROUTE_LIMIT = 16


class Router:
    """Turns the model a client names into the llms to try."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def catalog(self) -> Catalog:
        """The catalogue it routes over."""
        return self._catalog

    def adopt(self, catalog: Catalog) -> None:
        """Route over another catalogue from now on; requests on their way keep their route."""
        self._catalog = catalog

    def route(self, model: str, fallbacks: Sequence[str] | None) -> list[Llm]:
        """The llm named, then its fallbacks (the client's own list wins), each once.

        Raises:
            ModelNotFound: the model or one of the client's own fallbacks is not configured.
        """
        first = self._catalog.find(model)
        names = first.fallbacks if fallbacks is None else fallbacks[:ROUTE_LIMIT]
        route = [first]
        for name in names:
            llm = self._catalog.find(name)
            if llm not in route:
                route.append(llm)
        return route
