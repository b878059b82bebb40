"""uvicorn's HTTP protocol, telling at once when a client leaves.

ASGI offers only a `receive` that somebody has to await, one more task per request. Under any
other server the front awaits it; under ours the connection itself tells.
"""

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tristar.relay.departure import Departure

WATCHED = "tristar.watched"
DEPARTURE = "tristar.departure"


class GatewayProtocol(HttpToolsProtocol):
    """Announces a lost connection to the `Departure` that the front leaves in the scope."""

    def on_message_begin(self) -> None:
        """See `HttpToolsProtocol`."""
        super().on_message_begin()
        scope = cast("dict[str, Any]", self.scope)
        scope[WATCHED] = True

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        cycle: Any = self.cycle  # None before the first request, whatever its annotation says
        super().connection_lost(exc)
        if cycle is None or cycle.response_complete:
            return
        departure: Departure | None = cycle.scope.get(DEPARTURE)
        if departure is not None:
            departure.announce()
