"""One round of everything that can happen, so that every metric moves."""

from tests.metrics.stories import ANCHOR, GPT, SINK, account, attempt, new_books

from tristar.exchange import Account
from tristar.metrics.audits import AuditReadings
from tristar.metrics.books import Books
from tristar.metrics.memories import EMBEDDINGS

CLAUDE = ("claude-haiku", "anthropic")


def stories() -> list[Account]:
    """A success, a stream, a rescue, a refused key, a limit, and a name that nobody configured."""
    failed = attempt(status="rate_limited", error_type="rate_limited", tokens_source="none")
    again = attempt(status="error", error_type="connect", reason="rate_limited", tokens_source="none")
    rescue = attempt(llm_id="claude", model=CLAUDE[0], provider=CLAUDE[1], reason="connect", price="unknown")
    stream = attempt(
        first_token_s=0.3,
        chunks=40,
        tokens_cache_read=20,
        tokens_cache_write=4,
        tokens_reasoning=9,
        price="list",
        cost_nanousd=123_000,
    )
    typo = attempt(llm_id="openai/typo", model="typo", status="error", error_type="bad_request")
    return [
        account([attempt()], trace_id="4bf92f3577b34da6a3ce929d0e0e4736", traced=True),
        account([stream], streamed=True),
        account([failed, again, rescue]),
        account(status=401, auth_failure="unknown"),
        account(status=429, rejected_by="key", rejected_scope="requests_per_minute"),
        account([typo], status=404),
        account(endpoint="/v1/models", method="GET", duration_s=0.002),
    ]


def play(books: Books) -> None:
    """Enter one round."""
    for story in stories():
        books.count(story)
    books.breaker_transition("fast", "open")
    books.breaker_transition("fast", "closed")
    books.audit_committed(6, 0.0004)
    books.audit_lost(1)
    books.count(account(endpoint="/v1/memory/search", action="request", operation="search"))
    books.count(account(endpoint=EMBEDDINGS, status=502))
    books.key_revoked(0.5)
    books.event_loop_lag(0.002)


def watched_books() -> Books:
    """Books with two configured llms and every live value attached; one of them cannot be read."""
    books = new_books(models=[GPT, CLAUDE], llm_ids=["fast", "claude"])
    books.watch(
        active_connections=lambda: 3,
        memory_entries=lambda: 42,
        memory_waiting=lambda: 7,
        breaker_states=lambda: {"fast": 2, "claude": 1},
        llm_in_flight=lambda: {GPT: 2},
        dependencies=lambda: {"redis": 0.5, "database": 1},
        tasks=lambda: 12,
        certificate_end=lambda: 1_800_000_000.0,
        audit=lambda: AuditReadings(5, {"syslog": SINK}, {"tsa": ANCHOR}, verify_ok=True),
    )
    return books
