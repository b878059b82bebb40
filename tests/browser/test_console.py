"""What an operator sees in the console, in each state of the gateway."""

import re
import signal
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # untyped
from playwright.sync_api import Page, expect
from tests.browser.conftest import OpenVisit
from tests.gateway import Gateway, document, llm, provider
from tests.upstream import Status, Upstream

NOTHING = "\N{EN DASH}"
ADMIN_KEY = "adm-canary-0000000000000000000000000000000000"
StartGateway = Callable[..., Gateway]


def ask(page: Page, text: str) -> None:
    """Send a message from the playground and wait for the end of the answer."""
    page.locator("#question").fill(text)
    page.locator("#send").click()
    expect(page.locator("#send")).to_be_enabled()
    expect(page.locator("#playground-status")).not_to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_overview_is_whole_and_accessible(
    echo: Gateway, visit: OpenVisit, width: int, locale: str, scheme: str
) -> None:
    """At each width, in each language and theme: nothing cut off, axe finds nothing, a picture is kept."""
    seen = visit(echo, width=width, scheme=scheme, locale=locale).open()
    ask(seen.page, "Who watches the watchmen?")
    expect(seen.page.locator("[data-figure=requests] strong")).not_to_have_text(NOTHING)
    seen.page.locator("#history summary").click()
    seen.shoot(f"overview-{width}-{locale[:2]}-{scheme}")
    seen.page.locator("#history summary").click()

    assert seen.page.evaluate("document.documentElement.scrollWidth") == width
    assert Axe().run(seen.page).response["violations"] == []
    expect(seen.page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(seen.page.locator("#overview-title")).to_have_text(
        "Overview" if locale == "en-GB" else "Übersicht"
    )


def test_the_figures_are_those_of_the_metrics(echo: Gateway, visit: OpenVisit) -> None:
    """Calls since the start, tokens of a call, and its headers."""
    seen = visit(echo).open()
    ask(seen.page, "one two three")
    seen.page.get_by_text("Since start").click()
    calls = echo.scrape().value("ailinux_llm_calls_total", model="echo")

    row = seen.page.locator("#llms tbody tr").filter(has_text="echo")
    expect(row.locator("td.n").first).to_have_text(f"{calls:.0f}")
    expect(row).to_contain_text("closed")
    expect(seen.page.locator("#answer")).to_have_text("one two three")
    expect(seen.page.locator("[data-fact=fact_tokens_out]")).to_have_text("3")
    expect(seen.page.locator("#answer-headers")).to_contain_text("x-tristar-trace-id")
    expect(seen.page.locator("[data-fact=audit_lost]")).to_have_text("0")


def test_history_survives_a_reload(echo: Gateway, visit: OpenVisit) -> None:
    """The charts go on where they were; a new tab begins anew."""
    seen = visit(echo).open()
    expect(seen.page.locator("[data-figure=requests] strong")).not_to_have_text(NOTHING)
    seen.page.reload()
    seen.wait_for("live")
    kept = seen.page.evaluate("JSON.parse(sessionStorage.getItem('tristar.history.1')).points.length")
    other = visit(echo).open()

    assert kept >= 2
    assert other.page.evaluate("sessionStorage.getItem('tristar.history.1')") is None


def test_language_and_theme_are_remembered(echo: Gateway, visit: OpenVisit) -> None:
    """By the browser, over a reload; what was already said is said again in the other language."""
    seen = visit(echo).open()
    ask(seen.page, "x")
    seen.page.locator("#language").select_option("de")
    expect(seen.page.locator("#playground-status")).to_have_text("Vollständig.")
    seen.page.locator("#theme").select_option("dark")
    seen.page.reload()

    expect(seen.page.locator("#language")).to_have_value("de")
    expect(seen.page.locator("#send")).to_have_text("Senden")
    expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(seen.page.locator("body")).to_have_css("background-color", "rgb(14, 20, 27)")


def test_everything_is_reached_by_keyboard(echo: Gateway, visit: OpenVisit) -> None:
    """From the skip link to the send button, each stop with a name, and Enter sends."""
    seen = visit(echo).open()
    stops = []
    for _ in range(30):
        seen.page.keyboard.press("Tab")
        stops.append(seen.page.evaluate("document.activeElement.id || document.activeElement.className"))
        if stops[-1] == "send":
            break
    seen.page.keyboard.press("Enter")

    assert stops[0] == "skip"
    assert {"pause", "theme", "language", "model", "question", "send"} <= set(stops)
    expect(seen.page.locator("#playground-status")).to_have_text("Complete.")


def test_polling_pauses_and_goes_on(echo: Gateway, visit: OpenVisit) -> None:
    """A moving page can be held still, and says that it is."""
    seen = visit(echo).open()
    seen.page.locator("#pause").click()
    expect(seen.page.locator("#condition")).to_have_text("Paused")
    read_at = seen.page.locator("#reading").inner_text()
    asked = len(seen.asked)
    seen.page.wait_for_timeout(2_500)  # longer than one interval: nothing may be asked

    assert len(seen.asked) == asked
    seen.page.locator("#pause").click()
    expect(seen.page.locator("#condition")).to_have_text("Ready")
    expect(seen.page.locator("#reading")).not_to_have_text(read_at)


def test_watching_does_not_show_as_traffic(gateway: StartGateway, visit: OpenVisit) -> None:
    """A gateway that nobody calls is shown as idle, with the way to a first call."""
    seen = visit(gateway()).open()
    expect(seen.page.locator("[data-figure=requests] strong")).to_have_text(re.compile("^0"))
    seen.shoot("empty")

    expect(seen.page.locator("#empty")).to_be_visible()
    expect(seen.page.locator("#curl")).to_contain_text("/v1/chat/completions")
    assert seen.figure("active") == "0"
    assert seen.figure("errors") == NOTHING
    assert seen.figure("p95") == NOTHING


def test_a_gateway_that_is_gone_is_said_and_found_again(gateway: StartGateway, visit: OpenVisit) -> None:
    """The last figures stay, marked as old."""
    running = gateway()
    seen = visit(running).open()
    seen.refusals_expected = True
    running.stop(signal.SIGTERM)
    seen.wait_for("gone")
    seen.shoot("gone")

    expect(seen.page.locator("#notice")).to_contain_text("does not answer; the figures are from")
    expect(seen.page.locator("#condition")).to_have_text("No answer")
    assert Axe().run(seen.page).response["violations"] == []


def test_metrics_that_are_off_leave_the_rest_working(gateway: StartGateway, visit: OpenVisit) -> None:
    """Said plainly; readiness and the playground are there, and no metrics page is asked for."""
    seen = visit(gateway(env={"METRICS_ENABLED": "false"})).open("unmeasured")
    ask(seen.page, "still here")
    seen.shoot("metrics-off")

    expect(seen.page.locator("#notice")).to_contain_text("METRICS_ENABLED=false")
    expect(seen.page.locator("#answer")).to_have_text("still here")
    expect(seen.page.locator("#dependencies")).to_contain_text("audit")
    assert not [request.url for request in seen.asked if request.url.endswith("/metrics")]


def test_the_metrics_path_is_the_configured_one(gateway: StartGateway, visit: OpenVisit) -> None:
    """As METRICS_PATH says."""
    seen = visit(gateway(env={"METRICS_PATH": "/inner/metrics"})).open()

    assert any(request.url.endswith("/inner/metrics") for request in seen.asked)


def test_a_key_is_asked_for_kept_in_the_tab_and_sent_in_a_header(
    gateway: StartGateway, visit: OpenVisit
) -> None:
    """A wrong one is said to be wrong, a right one opens the page, and none is ever in an address."""
    seen = visit(gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY}))
    seen.refusals_expected = True
    seen.open()
    expect(seen.page.locator("#access")).to_be_visible()
    seen.shoot("locked")
    assert Axe().run(seen.page).response["violations"] == []

    seen.page.get_by_label("API key").fill("not-the-key")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#access-why")).to_contain_text("refused this key")
    seen.page.get_by_label("API key").fill(ADMIN_KEY)
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#access")).to_be_hidden()
    expect(seen.page.locator("#llms tbody")).to_contain_text("echo")
    ask(seen.page, "let me in")

    expect(seen.page.locator("#answer")).to_have_text("let me in")
    assert seen.page.evaluate("sessionStorage.getItem('tristar.key')") == ADMIN_KEY
    assert ADMIN_KEY not in seen.page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert ADMIN_KEY not in seen.page.content()
    assert not [request.url for request in seen.asked if ADMIN_KEY in request.url]
    seen.page.locator("#forget").click()
    expect(seen.page.locator("#access")).to_be_visible()
    assert seen.page.evaluate("sessionStorage.getItem('tristar.key')") is None


def test_a_refused_key_is_not_tried_again_and_again(gateway: StartGateway, visit: OpenVisit) -> None:
    """Each attempt is counted and audited as a failure: one is enough."""
    seen = visit(gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY}))
    seen.refusals_expected = True
    seen.open()
    expect(seen.page.locator("#access")).to_be_visible()
    read_at = seen.page.locator("#reading").inner_text()
    expect(seen.page.locator("#reading")).not_to_have_text(read_at)

    assert len([request for request in seen.asked if request.url.endswith("/v1/models")]) == 1


def test_an_open_breaker_is_the_first_thing_that_is_seen(
    gateway: StartGateway, visit: OpenVisit, upstream: Upstream
) -> None:
    """In the list of what needs attention, and in its row of the table; the failed call is told too."""
    upstream.on("weak", *[Status(500)] * 4)
    toml = document(
        provider("acme", upstream.base_url),
        llm("weak", "acme", retries=0, breaker={"failures": 2}),
        llm("strong", "acme"),
    )
    running = gateway(toml=toml)
    seen = visit(running)
    seen.refusals_expected = True
    seen.open()
    running.chat("strong")
    seen.page.locator("#model").select_option("weak")
    ask(seen.page, "one")
    expect(seen.page.locator("#playground-status")).to_contain_text("Failed with 5")
    running.chat("weak")

    expect(seen.page.locator("#attention li").first).to_be_visible()
    expect(seen.page.locator("#attention")).to_contain_text("The breaker of weak is open")
    row = seen.page.locator("#llms tbody tr").filter(has_text="weak")
    expect(row.locator(".wide")).to_contain_text("open")
    expect(row).to_contain_text("100%")
    seen.shoot("breaker-open")


def test_what_the_operator_wants_everybody_to_know_is_shown(gateway: StartGateway, visit: OpenVisit) -> None:
    """`[server] notice` stands above everything else, key or no key; without one there is no empty box."""
    told = gateway(toml='[server]\nnotice = "Maintenance from 02:00"\n', name="told")
    silent = gateway(name="silent")

    expect(visit(told).open().page.locator("#announcement")).to_have_text("Maintenance from 02:00")
    expect(visit(silent).open().page.locator("#announcement")).to_be_hidden()
