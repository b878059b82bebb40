"""What each llm costs, as far as this process knows; found off the event loop, kept for the request path."""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from tristar.clock import Clock
from tristar.exchange import Attempt
from tristar.routing.catalog import Llm, Provider
from tristar.routing.price import FREE, UNKNOWN, Price, Tariff, Term
from tristar.routing.pricelist import look_up

LookUp = Callable[[str, str | None, str], Tariff]

KNOWN = 10_000
"""Tariffs that are kept; of an open provider a client may name any model."""


class Prices:
    """The tariffs of the llms in use. Event-loop thread only; lists are read in a thread.

    An llm costs what its table says, else what the published list of its provider says; the built-in
    `echo` costs nothing. An upstream on a private address is on no list, so that none is read for it.
    """

    def __init__(self, clock: Clock, look_up: LookUp = look_up) -> None:
        self._clock = clock
        self._look_up = look_up
        self._known: dict[str, tuple[Llm, Tariff]] = {}
        self._listed: dict[tuple[str, str | None, str], Tariff] = {}
        self._looking = asyncio.Lock()

    def tariff(self, llm: Llm) -> Tariff | None:
        """The llm's tariff, `UNKNOWN` if it is on no list; None if nobody has looked yet: `learn`."""
        known = self._known.get(llm.llm_id)
        if known is not None and (known[0] is llm or _costs_alike(known[0], llm)):
            return known[1]
        tariff = self._own(llm) or self._listed.get(_key(llm))
        if tariff is not None:
            self._keep(llm, tariff)
        return tariff

    def now(self, llm: Llm) -> Price | None:
        """The llm's price at this moment; None if it is not known."""
        tariff = self.tariff(llm)
        return None if tariff is None else tariff.at(self._clock.time())

    async def learn(self, llm: Llm) -> Tariff:
        """The llm's tariff, read from the list if need be: at first that takes 40 ms, later microseconds."""
        async with self._looking:
            tariff = self.tariff(llm)
            if tariff is None:
                tariff = await asyncio.to_thread(self._look_up, *_key(llm))
                if len(self._listed) >= KNOWN:
                    self._listed.clear()
                self._listed[_key(llm)] = tariff
                self._keep(llm, tariff)
        return tariff

    async def learn_all(self, llms: Iterable[Llm]) -> None:
        """Learn what these cost, before anybody asks."""
        for llm in llms:
            if self.tariff(llm) is None:
                await self.learn(llm)

    def charge(self, llm: Llm, attempt: Attempt) -> None:
        """Enter in the attempt what its tokens cost; of an unknown price only that it is unknown."""
        tariff = self.tariff(llm) or UNKNOWN
        price = tariff.at(self._clock.time())
        attempt.price = tariff.source
        if price is not None:
            attempt.cost_nanousd = price.cost_nanousd(
                attempt.tokens_input,
                attempt.tokens_output,
                attempt.tokens_cache_read,
                attempt.tokens_cache_write,
                attempt.tokens_reasoning,
            )

    def _keep(self, llm: Llm, tariff: Tariff) -> None:
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[llm.llm_id] = llm, tariff

    @staticmethod
    def _own(llm: Llm) -> Tariff | None:
        """What needs no list to be known."""
        if llm.price is not None:
            return Tariff("configured", (Term(llm.price),))
        if llm.provider.dialect == "echo":
            return FREE
        return UNKNOWN if llm.provider.price_list is None and is_private(llm.provider) else None


def is_private(provider: Provider) -> bool:
    """Whether an upstream is at an address that no published list can know."""
    host = urlsplit(provider.base_url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _key(llm: Llm) -> tuple[str, str | None, str]:
    return llm.provider.base_url, llm.provider.price_list, llm.model


def _costs_alike(one: Llm, other: Llm) -> bool:
    """Llms of open providers are made anew for each request."""
    return one.provider is other.provider and one.model == other.model and one.price is other.price
