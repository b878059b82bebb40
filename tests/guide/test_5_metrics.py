"""Section 5: the eight metrics, from the first scrape on, in both formats, with the right values."""

import re
import threading
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.gateway import Scrape, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.guide.household import Household
from tests.guide.page import GERMAN
from tests.prometheus.station import until
from tests.upstream import Answer, Gate, Upstream

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
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
LATENCIES = [name for name, (kind, _) in EIGHT.items() if kind == "histogram"]

BORN_AT_ZERO = [name for name in EIGHT if name not in (*LATENCIES, "ailinux_request_count")]
"""`ailinux_request_count` too, but for the requests that asked whether the gateway is ready."""

Samples = dict[str, list[tuple[dict[str, str], float]]]


def as_openmetrics(kind: str, name: str) -> tuple[str, str]:
    """Name and type as OpenMetrics declares them: a counter drops `_total`, or is `unknown` without it."""
    if kind != "counter":
        return name, kind
    return (name.removesuffix("_total"), "counter") if name.endswith("_total") else (name, "unknown")


def openmetrics_samples(text: str) -> Samples:
    """Labels and values by sample name, read by the strict parser."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # has no annotations
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return samples


def text_samples(text: str) -> Samples:
    """The same of a scrape in text 0.0.4, as far as the eight go."""
    scrape = Scrape(text)
    names = [name + suffix for name in EIGHT for suffix in ("", "_bucket", "_count", "_sum")]
    return {
        name: [(dict(labels), value) for labels, value in scrape.series(name).items()]
        for name in names
        if scrape.series(name)
    }


FORMATS: dict[str, tuple[str, Callable[[str], Samples]]] = {
    "text": ("text/plain", text_samples),
    "openmetrics": (OPENMETRICS, openmetrics_samples),
}


def test_the_table_has_the_eight_with_types_and_labels() -> None:
    """Name, type and labels to the letter."""
    told = {
        name: (kind.lower(), set(re.findall(r"\w+", labels))) for name, kind, labels, _ in GERMAN.table(5)
    }

    assert told == EIGHT


@pytest.mark.parametrize("workers", [1, 2])
def test_every_type_is_there_on_the_first_scrape(gateway: StartGateway, workers: int) -> None:
    """Before any chat, in both formats; counters at 0, and no latency series: its average would be NaN."""
    running = gateway(workers=workers)
    text = running.request("GET", "/metrics", headers={"accept": "text/plain"})
    openmetrics = running.request("GET", "/metrics", headers={"accept": OPENMETRICS})
    told = [
        dict(re.findall(r"^# TYPE (\S+) (\S+)$", each.text, re.MULTILINE)) for each in (text, openmetrics)
    ]
    born = text_samples(text.text)

    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {name: told[0].get(name) for name in EIGHT} == {name: kind for name, (kind, _) in EIGHT.items()}
    assert all(
        told[1].get(as_openmetrics(kind, name)[0]) == as_openmetrics(kind, name)[1]
        for name, (kind, _) in EIGHT.items()
    )
    assert "ailinux_llm_latency_seconds_count" not in born
    assert {name: sum_of(born[name]) for name in BORN_AT_ZERO} == dict.fromkeys(BORN_AT_ZERO, 0)
    assert {value for labels, value in born["ailinux_request_count"] if "/v1" in labels["endpoint"]} == {0}
    assert openmetrics.text.endswith("# EOF\n")
    assert openmetrics_samples(openmetrics.text)


def sum_of(samples: list[tuple[dict[str, str], float]]) -> float:
    """The sum of the values; the samples must be there."""
    assert samples
    return sum(value for _, value in samples)


@pytest.mark.parametrize("form", FORMATS)
def test_every_metric_carries_exactly_its_labels_after_mixed_traffic(household: Household, form: str) -> None:
    """Under its exact name, with `le` on buckets and nothing else added, no `_created`."""
    accept, read = FORMATS[form]
    household.play()
    answer = household.gateway.request("GET", "/metrics", headers={"accept": accept})
    samples = read(answer.text)

    for name, (kind, labels) in EIGHT.items():
        plain = [f"{name}_count", f"{name}_sum"] if kind == "histogram" else [name]
        assert all(set(found) == labels for each in plain for found, _ in samples[each]), name
    assert all(
        set(found) == EIGHT[name][1] | {"le"} for name in LATENCIES for found, _ in samples[f"{name}_bucket"]
    )
    assert "_created" not in answer.text
    assert "ailinux_request_count_total" not in answer.text


def test_every_value_is_what_the_traffic_was(household: Household) -> None:
    """One more round of chats whole and streamed, errors, fallback, limits and memory, to the last token."""
    before = household.gateway.scrape()
    household.play()
    after = household.gateway.scrape()

    def risen(name: str, *labels: str) -> dict[tuple[str, ...], int]:
        return dict(after.by(name, *labels) - before.by(name, *labels))

    assert risen("ailinux_request_count", "endpoint", "method", "status") == {
        ("/v1/chat/completions", "POST", "200"): 3,
        ("/v1/chat/completions", "POST", "400"): 1,
        ("/v1/chat/completions", "POST", "404"): 1,
        ("/v1/chat/completions", "POST", "429"): 1,
        ("/v1/chat/completions", "POST", "500"): 1,
        ("/v1/chat/completions", "POST", "503"): 1,
        ("/v1/chat", "POST", "200"): 1,
        ("/v1/memory", "POST", "201"): 1,
        ("/v1/memory", "GET", "200"): 1,
        ("/v1/models", "GET", "200"): 1,
        ("/health/ready", "GET", "200"): 1,
        ("_unmatched", "GET", "404"): 1,
    } | scrapes_between(before, after)
    assert risen("ailinux_llm_calls_total", "model", "provider", "status") == {
        ("fast", "star", "success"): 4,
        ("rescued", "star", "error"): 2,
        ("failing", "star", "error"): 1,
        ("limited", "star", "rate_limited"): 1,
    }
    assert risen("ailinux_llm_tokens_total", "model", "provider", "type") == {
        ("fast", "star", "input"): 4 * 11,
        ("fast", "star", "output"): 4 * 6,
    }
    assert risen("ailinux_llm_latency_seconds_count", "model", "provider") == {("fast", "star"): 4}
    assert risen("ailinux_request_latency_seconds_count", "endpoint")["/v1/chat/completions",] == 8
    assert risen("ailinux_memory_entries_total") == {(): 1}
    assert after.value("ailinux_memory_entries_total") == household.rounds


def scrapes_between(before: Scrape, after: Scrape) -> dict[tuple[str, ...], int]:
    """How many scrapes Prometheus made meanwhile: they are requests too."""
    scrapes = [each.value("ailinux_request_count", endpoint="/metrics") for each in (before, after)]
    return {("/metrics", "GET", "200"): int(scrapes[1] - scrapes[0])}


def test_the_open_breaker_shows_as_one_and_the_others_as_zero(household: Household) -> None:
    """One series per llm."""
    states = household.gateway.scrape().series("ailinux_circuit_breaker_state")

    assert {dict(labels)["llm_id"]: value for labels, value in states.items()} == {
        "cut-off": 1,
        "failing": 0,
        "fast": 0,
        "limited": 0,
        "rescued": 0,
    }


def test_requests_in_progress_are_counted_and_scrapes_are_not(
    gateway: StartGateway, upstream: Upstream
) -> None:
    """Three streams held by their upstream, in two workers, are three; afterwards it is none."""
    gate = Gate()
    upstream.default = Answer(gate=gate)
    running = gateway(toml=document(provider("star", upstream.base_url), llm("fast", "star")), workers=2)
    asking = [
        threading.Thread(target=running.chat, args=("fast",), kwargs={"stream": True}) for _ in range(3)
    ]
    for thread in asking:
        thread.start()
    upstream.journal.wait_for_calls(3)
    during = running.scrape().value("ailinux_active_connections")
    gate.release()
    for thread in asking:
        thread.join(10)
    until(lambda: running.scrape().value("ailinux_active_connections") == 0)

    assert during == 3
