"""Accounts and attempts as the tests need them, and ways to read the books."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tristar.audit.anchors.watch import AnchorReading
from tristar.audit.sinks.pump import SinkReading
from tristar.clock import Clock, ManualClock
from tristar.exchange import Account, Attempt
from tristar.metrics.books import Books
from tristar.metrics.llms import Pair

OPENMETRICS = "application/openmetrics-text;version=1.0.0"
GPT = ("gpt-4o-mini", "openai")


_ATTEMPT: Final = Attempt(
    llm_id="fast",
    model=GPT[0],
    provider=GPT[1],
    started_s=0.001,
    status="success",
    duration_s=1.2,
    tokens_input=100,
    tokens_output=60,
    tokens_source="provider",
)
_ACCOUNT: Final = Account("/v1/chat/completions", "POST", 200, 1.25, "llm_call", streamed=False)
SINK: Final = SinkReading(mandatory=True, lag_records=12, delivered=80, failures=2, refused=1, expired=3)
ANCHOR: Final = AnchorReading(size=700, overdue_s=42.5)


def attempt(**told: object) -> Attempt:
    """A successful attempt on the configured llm, unless told otherwise."""
    return replace(_ATTEMPT, **told)


def account(attempts: Sequence[Attempt] = (), **told: object) -> Account:
    """A chat that ended well, unless told otherwise."""
    return replace(_ACCOUNT, attempts=attempts, **told)


def new_books(
    clock: Clock | None = None,
    *,
    models: Iterable[Pair] = (GPT,),
    llm_ids: Iterable[str] | None = ("fast",),
    registry: CollectorRegistry | None = None,
) -> Books:
    """Books with one configured llm, on a clock that stands still."""
    clock = clock or ManualClock()
    return Books(clock=clock, version="1.2.3", models=models, llm_ids=llm_ids, registry=registry)


def parse(body: str) -> list[Metric]:
    """The families of an OpenMetrics body, as the client library's strict parser reads them."""
    families: Iterable[Metric] = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]  # upstream's
    return list(families)


def scraped(books: Books) -> Iterator[Sample]:
    """Every sample of one OpenMetrics scrape, as the strict parser reads it."""
    body, _ = books.render(OPENMETRICS)
    for family in parse(body.decode()):
        yield from family.samples


def samples(books: Books) -> Iterator[tuple[str, dict[str, str], float]]:
    """Every sample of ours; quicker than a scrape, which is tested to say the same."""
    for family in books.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(books: Books, name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """The one sample of that name and exactly those labels; None if there is none."""
    found = [number for key, has, number in samples(books) if key == name and has == (labels or {})]
    assert len(found) <= 1
    return found[0] if found else None


def total(books: Books, name: str, **labels: str) -> float:
    """The sum over every sample of that name whose labels include these."""
    return sum(number for key, has, number in samples(books) if key == name and labels.items() <= has.items())


def series(books: Books, name: str) -> list[dict[str, str]]:
    """The labels of every sample of that name."""
    return [has for key, has, _ in samples(books) if key == name]
