"""Pools: which member is tried first, and who may use one."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tristar.clock import ManualClock
from tristar.errors import Forbidden, ModelNotFound
from tristar.routing.catalog import Catalog, Choose, Llm, Pool, Provider
from tristar.routing.load import Loads
from tristar.routing.pool import Chooser
from tristar.routing.router import Router, Wish

PROVIDER = Provider("p", "openai", "http://x")
LLMS = [Llm(name, PROVIDER, "m-" + name, fallbacks=("other",)) for name in "abc"]
OTHER = Llm("other", PROVIDER, "m-a")


def house(choose: Choose = "weighted", weights: tuple[float, ...] = ()) -> tuple[Router, Loads]:
    """A pool `all` of three llms, `other` behind it; and what is known of their load."""
    loads = Loads(ManualClock())
    pool = Pool("all", ("a", "b", "c"), choose, weights, fallbacks=("other",))
    catalog = Catalog([*LLMS, OTHER], [], [pool])
    return Router(catalog, Chooser(loads, Random(7))), loads


def names(route: list[Llm]) -> str:
    """A route in short."""
    return ",".join(llm.llm_id for llm in route)


def test_first_places_are_in_proportion_to_the_weights() -> None:
    """6 to 3 to 1, within what chance allows of ten thousand."""
    router, _ = house(weights=(6, 3, 1))
    firsts = Counter(router.route("all", None)[0].llm_id for _ in range(10_000))

    assert [round(firsts[name] / 1000) for name in "abc"] == [6, 3, 1]


def test_the_least_busy_member_comes_first() -> None:
    """A weight is how much a member bears."""
    router, loads = house("least_busy", (1, 1, 4))
    for name in "abccc":
        loads.began(name)
    first = router.route("all", None)[0].llm_id
    loads.began("c")
    loads.began("c")
    loads.began("c")
    loads.began("c")
    loads.ended("b")

    assert first == "c"
    assert router.route("all", None)[0].llm_id == "b"


def test_the_fastest_member_comes_first_and_the_failed_one_last() -> None:
    """Of streams by their first token."""
    router, loads = house("lowest_latency")
    loads.answered("a", 3.0, streamed=True)
    loads.answered("b", 1.0, streamed=True)
    loads.failed("c", streamed=True)

    assert names(router.route("all", None, Wish(streamed=True))) == "b,a,c,other"


def test_members_too_small_for_the_request_come_last() -> None:
    """An estimate is not exact: they are not left out."""
    small = Llm("small", PROVIDER, "m", context_tokens=1000)
    large = Llm("large", PROVIDER, "m", context_tokens=9000)
    catalog = Catalog([small, large], [], [Pool("all", ("small", "large"))])
    router = Router(catalog, Chooser(Loads(ManualClock()), Random(7)))
    routes = [names(router.route("all", None, Wish(tokens=2000))) for _ in range(20)]

    assert set(routes) == {"large,small"}


@given(st.sampled_from(["weighted", "least_busy", "lowest_latency"]), st.lists(st.sampled_from("abc")))
def test_a_pool_is_all_of_its_members_each_once_then_its_fallbacks(choose: Choose, busy: list[str]) -> None:
    """However it chooses; the members' own fallbacks are not followed."""
    router, loads = house(choose)
    for name in busy:
        loads.began(name)
    route = names(router.route("all", None))

    assert sorted(route.split(",")[:3]) == ["a", "b", "c"]
    assert route.endswith(",other")


def test_a_pool_may_stand_behind_an_llm() -> None:
    """In the file and in a request; an llm that was tried is not tried again in it."""
    router, _ = house()
    route = names(router.route("a", ["all"]))

    assert route.startswith("a,")
    assert sorted(route.split(",")) == ["a", "b", "c"]


def test_who_may_use_the_pool_may_use_its_members_through_it() -> None:
    """Who may use some of the members reaches those; who may use none is refused."""
    router, _ = house()
    through = router.route("all", [], Wish({"all"}.__contains__))
    some = router.route("all", [], Wish({"b"}.__contains__))

    assert sorted(names(through).split(",")) == ["a", "b", "c"]
    assert names(some) == "b"
    with pytest.raises(Forbidden):
        router.route("all", [], Wish({"other"}.__contains__))
    with pytest.raises(ModelNotFound):
        router.route("none", None)


def test_answers_that_are_compared_come_from_one_model() -> None:
    """The first that is named decides, whoever is chosen first."""
    router, _ = house()
    routes = {names(router.route("all", None, Wish(one_model=True))) for _ in range(20)}

    assert routes == {"a,other"}
