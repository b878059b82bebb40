"""Budgets written down: what is owed waits for the book, and a start goes on from it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tristar.clock import ManualClock
from tristar.errors import Unavailable
from tristar.limits.allowance import Allowance, Amount, Subject
from tristar.limits.calendar import DAY_S, month_of
from tristar.limits.limiter import Reservation
from tristar.limits.local import LocalLimiter
from tristar.limits.purse import MET, Purse, Row
from tristar.limits.usage import Refusal

KEY = Subject("key:a", "key", Allowance(budget_day_microusd=1000, budget_month_microusd=5000))


class Book:
    """Sums in memory; `away` makes every call fail."""

    def __init__(self) -> None:
        self.away = False
        self.sums: dict[str, tuple[int, int, int, int]] = {}

    async def read(self, month: int) -> Sequence[Row]:
        """See `Book.read`."""
        self._check()
        return [(name, *row) for name, row in self.sums.items() if row[2] == month]

    async def add(self, owed: Sequence[Row]) -> Sequence[Row]:
        """See `Book.add`; all amounts are of one day here."""
        self._check()
        for name, day, in_day, month, in_month in owed:
            _, day_sum, _, month_sum = self.sums.get(name, (day, 0, month, 0))
            self.sums[name] = day, day_sum + in_day, month, month_sum + in_month
        return [(name, *self.sums[name]) for name, *_ in owed]

    def _check(self) -> None:
        if self.away:
            raise Unavailable("away")


def purse(book: Book, clock: ManualClock) -> Purse:
    """A purse over a limiter of its own."""
    own = LocalLimiter(clock)
    return Purse(own, own, book, clock)


def pay(one: Purse, microusd: int, actual: int | None = None) -> bool:
    """Reserve and settle one call; whether it was admitted."""
    drawn = one.reserve_now([KEY], Amount(1, microusd), 60.0)
    if isinstance(drawn, Refusal):
        return False
    assert isinstance(drawn, Reservation)
    one.settle(drawn, Amount(1, microusd if actual is None else actual))
    one.settle(drawn, Amount(1, 10**9))
    return True


async def test_a_new_process_goes_on_from_what_was_spent() -> None:
    """To the millionth of a dollar; settling twice is settling once."""
    book, clock = Book(), ManualClock()
    first, second = purse(book, clock), purse(book, clock)
    assert pay(first, 600, 550)
    await first.save()
    await second.open()

    assert book.sums["key:a"][1] == 550
    assert not pay(second, 451)
    assert pay(second, 450)


async def test_what_cannot_be_written_waits() -> None:
    """Nothing is lost, and nothing is written twice."""
    book, clock = Book(), ManualClock()
    one = purse(book, clock)
    book.away = True
    await one.open()
    pay(one, 100)
    await one.save()
    pay(one, 20)
    book.away = False
    await one.save()
    await one.save()

    assert book.sums["key:a"][1] == 120


async def test_a_book_that_comes_back_is_read_before_it_is_trusted() -> None:
    """A start without it begins at nothing, and catches up."""
    book, clock = Book(), ManualClock()
    day = int(clock.time() // DAY_S)
    book.sums["key:a"] = day, 1000, month_of(day), 1000
    book.away = True
    one = purse(book, clock)
    await one.open()
    book.away = False
    await one.save()

    assert not pay(one, 1)


async def test_hosts_that_share_a_book_learn_of_each_other() -> None:
    """With the delay of a save."""
    book, clock = Book(), ManualClock()
    one, other = purse(book, clock), purse(book, clock)
    pay(one, 700)
    await one.save()
    pay(other, 100)
    await other.save()

    assert not pay(other, 201)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 500)), max_size=60))
def test_a_budget_is_passed_by_what_a_call_took_above_its_estimate_at_most(
    calls: list[tuple[int, int]],
) -> None:
    """One at a time: what was spent before a call is never above what leaves room for its estimate."""
    one = purse(Book(), ManualClock())
    spent = 0
    for estimate, actual in calls:
        admitted = pay(one, estimate, actual)

        assert admitted == (spent + estimate <= 1000)
        spent += actual if admitted else 0


async def test_it_tells_who_is_near_a_limit() -> None:
    """The nearest first, in the units in which limits are set; those not met yet only where asked for."""
    clock = ManualClock()
    one = purse(Book(), clock)
    busy = Subject(
        "key:busy", "key", Allowance(requests_per_minute=10, tokens_per_minute=100, max_concurrent=4)
    )
    for _ in range(4):
        one.reserve_now([busy], Amount(5, 0), 60.0)
    pay(one, 850)
    idle = Subject("llm:idle", "llm", Allowance(max_concurrent=1))
    uses = await one.uses([idle])

    assert [(use.subject, use.near) for use in uses] == [
        ("key:busy", True),
        ("key:a", True),
        ("llm:idle", False),
    ]
    assert [(each.limit, each.of, each.used) for each in uses[0].limits] == [
        ("requests", 10, 4.0),
        ("tokens", 100, 20.0),
        ("concurrency", 4, 4),
    ]
    assert [(each.limit, each.of, each.used) for each in uses[1].limits] == [
        ("budget_day", 0.001, 0.00085),
        ("budget_month", 0.005, 0.00085),
    ]


async def test_it_remembers_a_bounded_number_of_subjects() -> None:
    """However many keys there are."""
    one = purse(Book(), ManualClock())
    for n in range(MET + 5):
        one.reserve_now([Subject(f"key:{n}", "key", Allowance(max_concurrent=1))], Amount(1, 0), 60.0)

    assert len(await one.uses()) == MET
