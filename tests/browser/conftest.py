"""A headless browser per module, and visits that must end without a complaint."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright
from tests.browser.visit import Visit
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.house import watched
from tests.upstream import Status, Upstream

CHROMIUM = "/usr/bin/chromium"
# Debian's Chromium as root, without a screen, and without calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

MEMORIES = (
    "The staging database was moved to Frankfurt on 12 November.",
    "Decoding on the request path goes through msgspec: json is six times slower.",
    "Anna prefers short answers with the figures first.",
)

OpenVisit = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Per module and no longer: while it is open, no other event loop can run in this thread."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as it starts without any configuration, with a few calls behind it."""
    with watched(Gateway(tmp_path_factory.mktemp("echo"))) as made:
        running = made.start()
        for _ in range(3):
            running.chat("echo")
        yield running


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with something on every page: a fallback, an open breaker, limits, memory."""
    with Upstream() as upstream:
        upstream.on("weak", *[Status(500)] * 2)
        toml = document(
            provider("acme", upstream.base_url),
            llm("strong", "acme", requests_per_minute=600),
            llm("weak", "acme", retries=0, breaker={"failures": 2, "cooldown_s": 600}, fallbacks=["strong"]),
        )
        with watched(Gateway(tmp_path_factory.mktemp("stage"), toml=toml)) as made:
            running = made.start()
            for model in ("weak", "weak", "strong", "strong"):
                running.chat(model)
            for text in MEMORIES:
                running.request("POST", "/v1/memory", json={"content": text, "tags": ["ops"]})
            yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[OpenVisit]:
    """Opens visits: `visit(gateway, width=…, scheme=…, locale=…)`; each must end clean."""
    visits: list[Visit] = []

    def make(gateway: Gateway, **options: object) -> Visit:
        visits.append(Visit.at(gateway, browser, **options))  # type: ignore[arg-type]  # its own options
        return visits[-1]

    yield make
    for each in visits:
        each.page.context.close()
    for each in visits:
        each.assert_clean()
