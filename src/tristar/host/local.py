"""The way to a hub that is in this very process."""

from collections.abc import Callable
from typing import Final

from tristar.audit.draft import Draft
from tristar.exchange import Account
from tristar.host.hub import Hub
from tristar.ledger import Notice


class HubWay:
    """See `entry.Way`; no process in between."""

    is_here: Final = True
    lost: Final = False

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.check = hub.check

    @property
    def reason(self) -> str:
        """See `Way.reason`."""
        return self._hub.unwell

    def notice(self, notice: Notice) -> None:
        """See `Way.notice`."""
        self._hub.notice(notice)

    def enter(
        self, draft: Draft | None, account: Account | None, slot: int, settled: Callable[[bool], None]
    ) -> None:
        """See `Way.enter`."""
        del slot
        self._hub.enter(draft, account, settled)
