"""A real gateway as a process of its own, and what can be read from it.

`process` starts and stops it, `toml` writes its configuration, `scrape` reads its metrics,
`records` its audit log, `books` compares the two.
"""

from tests.gateway.books import assert_books_balance
from tests.gateway.process import Gateway
from tests.gateway.records import Record, read_records
from tests.gateway.scrape import Scrape
from tests.gateway.toml import document, llm, pool, provider, server

__all__ = [
    "Gateway",
    "Record",
    "Scrape",
    "assert_books_balance",
    "document",
    "llm",
    "pool",
    "provider",
    "read_records",
    "server",
]
