"""Do the books balance? The metrics and the audit log, compared to the last call and token."""

import time
from collections import Counter

from tests.gateway.process import Gateway
from tests.gateway.records import Record, attempts_by_status, cost_by_model, records_lost, tokens_by_type
from tests.gateway.scrape import Scrape

AUDITED = ("/v1", "/mcp", "/admin")


def assert_books_balance(gateway: Gateway, *, unmatched_elsewhere: int = 0, within_s: float = 20.0) -> None:
    """Every audited request has one terminal record; attempts and tokens are equal on both sides.

    What a client that left has caused may be settled a moment later, so this waits up to
    `within_s` for the two to agree. `unmatched_elsewhere` is how many requests to unknown
    routes outside /v1, /mcp and /admin the test has made: they are counted, not audited.
    """
    deadline = time.monotonic() + within_s
    while (faults := imbalances(gateway.scrape(), gateway.records(), unmatched_elsewhere)) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)

    assert not faults, "\n".join(faults)


def imbalances(scrape: Scrape, records: list[Record], unmatched_elsewhere: int = 0) -> list[str]:
    """What does not agree, one line each.

    Where `audit_gap` records say that records were lost, the requests must agree in total with
    those added, and attempts and tokens may be missing from the log, never from the metrics.
    """
    counted = _requests_counted(scrape, unmatched_elsewhere)
    recorded = _requests_recorded(records)
    attempts = (
        scrape.by("ailinux_llm_calls_total", "model", "provider", "status"),
        attempts_by_status(records),
    )
    tokens = scrape.by("ailinux_llm_tokens_total", "model", "provider", "type"), tokens_by_type(records)
    cost = _cost_counted(scrape), cost_by_model(records)
    if lost := records_lost(records):
        faults = _difference("requests in total", counted.total(), recorded.total() + lost)
        faults += _differences("lost attempts", attempts[1] - attempts[0], Counter())
        faults += _differences("lost tokens", tokens[1] - tokens[0], Counter())
        faults += _differences("lost cost", cost[1] - cost[0], Counter())
    else:
        faults = _differences("requests", counted, recorded)
        faults += _differences("attempts", *attempts)
        faults += _differences("tokens", *tokens)
        faults += _differences("cost", *cost)
    ids = Counter(record["event_id"] for record in records if record.terminal)
    faults += [
        f"event {event_id} has {count} terminal records" for event_id, count in ids.items() if count > 1
    ]
    if (active := scrape.value("ailinux_active_connections")) != 0:
        faults.append(f"ailinux_active_connections is {active}, nothing should be in progress")
    return faults


def _cost_counted(scrape: Scrape) -> Counter[tuple[str, ...]]:
    """Whole thousand-millionths of a dollar, which is what both sides add up."""
    sums: Counter[tuple[str, ...]] = Counter()
    for labels, value in scrape.series("ailinux_llm_cost_usd_total").items():
        known = dict(labels)
        sums[(known["model"], known["provider"])] += round(value * 1e9)
    return +sums


def _requests_counted(scrape: Scrape, unmatched_elsewhere: int) -> Counter[tuple[str, ...]]:
    """Audited requests, the memory's own calls for vectors too, per status as the metrics have them."""
    counted: Counter[tuple[str, ...]] = Counter()
    by_endpoint = scrape.by("ailinux_request_count", "endpoint", "status")
    for (endpoint, status), count in by_endpoint.items():
        if endpoint.startswith(AUDITED) or endpoint == "_unmatched":
            counted[(status,)] += count
    counted += scrape.by("ailinux_memory_embedding_calls_total", "status")
    counted[("404",)] -= unmatched_elsewhere
    return +counted


def _requests_recorded(records: list[Record]) -> Counter[tuple[str, ...]]:
    """Audited requests per status as the log has them."""
    return Counter((str(record["status"]),) for record in records if record.terminal)


def _difference(what: str, counted: int, recorded: int) -> list[str]:
    return [] if counted == recorded else [f"{what}: metrics say {counted}, audit log says {recorded}"]


def _differences(
    what: str, counted: Counter[tuple[str, ...]], recorded: Counter[tuple[str, ...]]
) -> list[str]:
    return [
        f"{what} {key}: metrics say {counted[key]}, audit log says {recorded[key]}"
        for key in sorted(counted.keys() | recorded.keys())
        if counted[key] != recorded[key]
    ]
