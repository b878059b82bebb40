"""What a scrape says, letter by letter, in both formats."""

import http
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as ClientCounter
from tests.metrics.stories import OPENMETRICS, account, attempt, new_books, parse, samples, scraped

from tristar.clock import ManualClock
from tristar.metrics.books import Books
from tristar.metrics.exposition import Format, negotiate
from tristar.metrics.family import render_labels, render_value

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
EIGHT = {
    "ailinux_request_count": ("counter", {"endpoint", "method", "status"}),
    "ailinux_request_latency_seconds": ("histogram", {"endpoint"}),
    "ailinux_llm_calls_total": ("counter", {"model", "provider", "status"}),
    "ailinux_llm_latency_seconds": ("histogram", {"model", "provider"}),
    "ailinux_llm_tokens_total": ("counter", {"model", "provider", "type"}),
    "ailinux_active_connections": ("gauge", set[str]()),
    "ailinux_memory_entries_total": ("gauge", set[str]()),
    "ailinux_circuit_breaker_state": ("gauge", {"llm_id"}),
}


@pytest.fixture
def books() -> Books:
    """Books with one call entered and the live values of the eight attached."""
    books = new_books()
    books.watch(active_connections=lambda: 3, memory_entries=lambda: 12, breaker_states=lambda: {"fast": 0})
    books.count(account([attempt()]))
    return books


def text(books: Books, accept: str | None = None) -> str:
    """The body of one scrape."""
    return books.render(accept)[0].decode()


def types(body: str) -> Iterator[tuple[str, str]]:
    """Name and type of every TYPE line."""
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            yield name, kind


def test_the_request_counter_keeps_its_exact_name_in_plain_text(books: Books) -> None:
    """Dashboards and alerts of the monitoring guide ask for this name and no other."""
    body = text(books)

    assert "# TYPE ailinux_request_count counter\n" in body
    line = 'ailinux_request_count{endpoint="/v1/chat/completions",method="POST",status="200"} 1\n'
    assert line in body
    assert "ailinux_request_count_total" not in body


def test_the_request_counter_keeps_its_exact_name_in_openmetrics(books: Books) -> None:
    """A counter must end in `_total` there, so it is exposed as unknown."""
    body = text(books, OPENMETRICS)

    assert "# TYPE ailinux_request_count unknown\n" in body
    assert 'ailinux_request_count{endpoint="/v1/chat/completions",method="POST",status="200"} 1\n' in body
    assert "ailinux_request_count_total" not in body


@pytest.mark.parametrize("name", EIGHT)
def test_each_of_the_eight_has_its_type_and_labels(books: Books, name: str) -> None:
    """Names, types and label sets are the contract."""
    kind, labels = EIGHT[name]
    found = {
        frozenset(has) - {"le"}
        for key, has, _ in samples(books)
        if key.removesuffix("_bucket").removesuffix("_sum") == name
    }

    assert dict(types(text(books)))[name] == kind
    assert found == {frozenset(labels)}


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_every_metric_shows_its_type_before_anything_happened(accept: str | None) -> None:
    """A first scrape names everything that is ever measured."""
    books = new_books()
    body = text(books, accept)
    shown = {name for name, _ in types(body)}
    names = {
        family.name.removesuffix("_total")
        if accept and family.kind == "counter" and family.name.endswith("_total")
        else family.name
        for family in books.families
    }

    assert names <= shown


def test_no_latency_series_exists_before_its_first_observation() -> None:
    """A mean over an idle histogram would be NaN."""
    body = text(new_books())

    assert "_bucket{" not in body
    assert "_seconds_sum" not in body
    assert "_seconds_count" not in body


def test_the_strict_parser_accepts_openmetrics(books: Books) -> None:
    """Ends in EOF, holds no `_created` series and nothing that strict parsers refuse."""
    body = text(books, OPENMETRICS)
    families = parse(body)

    assert {family.name for family in families} >= {"ailinux_request_count", "ailinux_llm_calls"}
    assert body.endswith("# EOF\n")
    assert "_created" not in body


def test_plain_text_has_no_eof_and_no_created(books: Books) -> None:
    """They belong to OpenMetrics alone, and `_created` to nobody."""
    body = text(books)

    assert "# EOF" not in body
    assert "_created" not in body


def test_a_bound_of_thirty_seconds_is_written_as_rules_ask_for_it(books: Books) -> None:
    """`le="30.0"`, in both formats: `le="30"` would match nothing."""
    head = 'ailinux_llm_latency_seconds_bucket{model="gpt-4o-mini",provider="openai",le="30.0"} 1\n'

    assert head in text(books)
    assert head in text(books, OPENMETRICS)


def test_latency_bounds_reach_from_a_tenth_of_a_second_to_ten_minutes(books: Books) -> None:
    """A P95 over 30 s can be seen only where bounds lie beyond it."""
    name = "ailinux_llm_latency_seconds_bucket"
    bounds = [sample.labels["le"] for sample in scraped(books) if sample.name == name]
    short = "0.1 0.25 0.5 1.0 2.0 3.0 5.0 7.5 10.0 15.0 20.0 25.0"
    long = "30.0 45.0 60.0 90.0 120.0 180.0 300.0 600.0 +Inf"

    assert bounds == [*short.split(), *long.split()]


def test_a_scrape_says_what_the_books_hold(books: Books) -> None:
    """The text and the client library's own type carry the same samples, one by one."""
    books.count(account([attempt(first_token_s=0.2, chunks=5, error_type="odd")], streamed=True))
    written = [sample for sample in scraped(books) if sample.name.startswith("ailinux_")]
    written = [sample for sample in written if "metrics_scrape" not in sample.name]
    held = [sample for sample in samples(books) if "metrics_scrape" not in sample[0]]

    assert [(sample.name, sample.labels, sample.value) for sample in written] == held


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Format.TEXT),
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        (PROMETHEUS_2, Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0", Format.TEXT),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", Format.TEXT),
        ("application/openmetrics-text;q=high", Format.TEXT),
        ("APPLICATION/OPENMETRICS-TEXT", Format.OPENMETRICS),
        ("text/html," * 10_000 + "application/openmetrics-text", Format.TEXT),
    ],
    ids=lambda shown: str(shown)[:40],
)
def test_the_accept_header_chooses_the_format(accept: str | None, form: Format) -> None:
    """OpenMetrics for those who prefer it, plain text for everybody else, in bounded time."""
    assert negotiate(accept) is form


def test_openmetrics_stays_at_1_0_whatever_is_asked_for(books: Books) -> None:
    """The content type names the format that is written."""
    _, content_type = books.render("application/openmetrics-text;version=2.0.0")

    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"


def test_plain_text_names_its_version(books: Books) -> None:
    """Prometheus 3 refuses a scrape without a content type it knows."""
    _, content_type = books.render(None)

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_has_three_complaints_and_no_other(books: Books) -> None:
    """Two are the guide's name for a counter, one its name for a gauge."""
    books.count(account([attempt(first_token_s=0.2, chunks=5)], streamed=True))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=books.render(None)[0], capture_output=True, check=False
    )

    assert sorted((done.stdout + done.stderr).decode().splitlines()) == [
        'ailinux_memory_entries_total non-counter metrics should not have "_total" suffix',
        'ailinux_request_count counter metrics should have "_total" suffix',
        'ailinux_request_count non-histogram and non-summary metrics should not have "_count" suffix',
    ]


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_collectors_of_others_are_exposed_beside_ours(accept: str | None) -> None:
    """Whoever embeds the gateway keeps one scrape; their `_created` series stay out."""
    registry = CollectorRegistry()
    ClientCounter("other_things_total", "Things.", registry=registry).inc(4)
    body = text(new_books(registry=registry), accept)

    assert "other_things_total 4.0\n" in body
    assert "_created" not in body
    assert body.count("# EOF") == (1 if accept else 0)


def test_the_process_is_measured_by_default(books: Books) -> None:
    """CPU and memory of the process come with the client library."""
    resident = [sample.value for sample in scraped(books) if sample.name == "process_resident_memory_bytes"]

    assert resident > [1_000_000]


def test_a_registry_of_the_callers_can_collect_the_books(books: Books) -> None:
    """The client library's own readers see the same samples as a scrape."""
    registry = CollectorRegistry()
    registry.register(books)
    labels = {"model": "gpt-4o-mini", "provider": "openai"}

    assert registry.get_sample_value("ailinux_llm_calls_total", {**labels, "status": "success"}) == 1
    assert registry.get_sample_value("ailinux_llm_latency_seconds_bucket", {**labels, "le": "2.0"}) == 1
    assert registry.get_sample_value("ailinux_llm_latency_seconds_sum", labels) == pytest.approx(1.2)


@given(st.text(max_size=40))
def test_any_label_value_survives_the_strict_parser(label: str) -> None:
    """Quotes, backslashes, newlines and lone surrogates cannot break a scrape."""
    line = f"# TYPE x gauge\nx{render_labels(('a',), (label,))} 1\n# EOF\n"
    (family,) = parse(line.encode().decode())

    assert family.samples[0].labels["a"] == label.encode("utf-8", "replace").decode()


@given(st.one_of(st.floats(), st.integers(min_value=0, max_value=2**53)))
def test_any_value_survives_the_strict_parser(number: float) -> None:
    """Infinities and NaN have their own spelling."""
    (family,) = parse(f"# TYPE x gauge\nx {render_value(number)}\n# EOF\n")

    assert family.samples[0].value == pytest.approx(number, nan_ok=True)


@pytest.mark.parametrize(("number", "written"), [(True, "1.0"), (http.HTTPStatus.OK, "200.0"), (3, "3")])
def test_members_of_an_enum_are_written_as_numbers(number: float, written: str) -> None:
    """Parts report their states as they hold them."""
    assert render_value(number) == written


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def traced() -> Books:
    """Books with one traced call."""
    books = new_books(ManualClock(at=1_700_000_000.5))
    books.count(
        account(
            [attempt(duration_s=1.2)],
            duration_s=1.25,
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            traced=True,
        )
    )
    return books


def test_latency_buckets_lead_to_a_trace_in_openmetrics() -> None:
    """The bucket that took the observation names its trace, its value and when."""
    found = {
        (sample.name, sample.labels["le"]): sample.exemplar for sample in scraped(traced()) if sample.exemplar
    }
    example = {"trace_id": TRACE_ID}

    assert {
        place: (shown.labels, shown.value, float(shown.timestamp or 0)) for place, shown in found.items()
    } == {
        ("ailinux_request_latency_seconds_bucket", "2.5"): (example, 1.25, 1_700_000_000.5),
        ("ailinux_llm_latency_seconds_bucket", "2.0"): (example, 1.2, 1_700_000_000.5),
    }


def test_no_counter_has_an_exemplar_and_plain_text_has_none() -> None:
    """Prometheus 2.42 fails a whole scrape for one on a counter that is declared unknown."""
    books = traced()
    lines = [line for line in text(books, OPENMETRICS).splitlines() if "trace_id" in line]

    assert all("_bucket{" in line for line in lines)
    assert "trace_id" not in text(books)
