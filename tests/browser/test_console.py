"""The console's overview and its door, in each state of the gateway."""

import re
import signal
from collections.abc import Callable

from playwright.sync_api import expect
from tests.browser.conftest import OpenVisit
from tests.gateway import Gateway

ADMIN_KEY = "adm-canary-0000000000000000000000000000000000"
NOTHING = "\N{EN DASH}"
StartGateway = Callable[..., Gateway]


def test_the_overview_tells_what_happens(echo: Gateway, visit: OpenVisit) -> None:
    """Figures of the last seconds, and what the audit log does; they go on by themselves."""
    seen = visit(echo).open()
    for _ in range(5):
        echo.chat("echo")

    expect(seen.page.locator("[data-figure=requests] strong")).not_to_have_text("0")
    expect(seen.page.locator("[data-figure=p95] strong")).not_to_have_text(NOTHING)
    expect(seen.page.locator("[data-figure=tokens_out] strong")).not_to_have_text("0")
    expect(seen.page.locator("[data-fact=audit_lost]")).to_have_text("0")
    expect(seen.page.locator("#dependencies")).to_contain_text("audit")
    expect(seen.page.locator("#attention")).to_have_text("Nothing needs attention.")


def test_charts_and_their_table_outlive_a_reload(echo: Gateway, visit: OpenVisit) -> None:
    """The host keeps the history: a page that was just opened has it."""
    first = visit(echo).open()
    expect(first.page.locator(".chart canvas")).to_have_count(6)
    first.page.locator("#history summary").click()
    expect(first.page.locator("#history tbody tr").first).to_be_visible(timeout=15_000)
    oldest = first.page.locator("#history tbody th").last.inner_text()
    first.page.reload()
    first.settle().page.locator("#history summary").click()
    other = visit(echo).open()
    other.page.locator("#history summary").click()

    expect(first.page.locator("#history tbody th").last).to_have_text(oldest)
    expect(other.page.locator("#history tbody th").last).to_have_text(oldest)


def test_the_time_range_is_chosen_and_in_the_address(echo: Gateway, visit: OpenVisit) -> None:
    """A week's view can be passed on."""
    seen = visit(echo).open()
    seen.page.get_by_text("7 days").click()
    expect(seen.page).to_have_url(re.compile("span=7d"))
    seen.page.reload()
    seen.wait_for("live")

    expect(seen.page.locator("input[value='7d']")).to_be_checked()


def test_watching_does_not_show_as_traffic(gateway: StartGateway, visit: OpenVisit) -> None:
    """A gateway that nobody calls is shown as idle, and the other pages say how things come to them."""
    seen = visit(gateway()).open()
    expect(seen.page.locator("[data-figure=requests] strong")).to_have_text("0")
    seen.shoot("empty-overview")

    assert (seen.figure("in_flight"), seen.figure("errors"), seen.figure("p95")) == ("0", NOTHING, NOTHING)
    for page, said in (("calls", "No call yet."), ("memory", "Nothing is remembered"), ("keys", "No key")):
        seen.go(page)
        expect(seen.page.locator("main .empty").first).to_contain_text(said)
        seen.shoot(f"empty-{page}")


def test_a_gateway_that_is_gone_is_said_and_found_again(gateway: StartGateway, visit: OpenVisit) -> None:
    """The last figures stay, marked as old; lists say that nothing came, with a way to try again."""
    running = gateway()
    seen = visit(running).open("audit").go("overview")
    seen.refusals_expected = True
    running.stop(signal.SIGTERM)
    seen.wait_for("stale")
    expect(seen.page.locator("#condition")).to_have_text("No answer", timeout=15_000)

    expect(seen.page.locator("#overview-trouble")).to_contain_text("does not answer")
    expect(seen.page.locator("#overview-trouble")).to_contain_text("The figures are from")
    expect(seen.page.locator("#reading")).to_be_empty()
    seen.assert_whole("gone-overview")
    seen.go("audit")
    expect(seen.page.locator("#records")).to_contain_text("The gateway does not answer.")
    expect(seen.page.locator("#records button")).to_have_text("Try again")
    seen.assert_whole("gone-audit")


def test_a_page_that_cannot_be_fetched_says_so(gateway: StartGateway, visit: OpenVisit) -> None:
    """Where the gateway went before the page's own file had come."""
    seen = visit(gateway())
    seen.refusals_expected = True
    seen.page.route("**/console/memory.js", lambda route: route.abort())
    seen.open("memory")

    expect(seen.page.locator("main h1")).to_have_text("The gateway does not answer.")
    expect(seen.page.get_by_role("button", name="Try again")).to_be_visible()


def test_metrics_that_are_off_leave_the_rest_working(gateway: StartGateway, visit: OpenVisit) -> None:
    """Said plainly; dependencies are there, and so are the other pages."""
    seen = visit(gateway(env={"METRICS_ENABLED": "false"}))
    seen.refusals_expected = True
    seen.open()
    seen.wait_for("unmeasured")

    expect(seen.page.locator("#overview-trouble")).to_contain_text("METRICS_ENABLED=false")
    expect(seen.page.locator("#dependencies")).to_contain_text("audit")
    seen.assert_whole("metrics-off")
    seen.go("llms")
    expect(seen.page.locator("#llms")).to_contain_text("echo")


def test_a_key_is_asked_for_kept_in_the_tab_and_sent_in_a_header(
    gateway: StartGateway, visit: OpenVisit
) -> None:
    """A wrong one is said to be wrong, a right one opens the page asked for, none is in an address."""
    seen = visit(gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY}))
    seen.refusals_expected = True
    seen.open("llms")
    expect(seen.page.locator("#access")).to_be_visible()
    seen.assert_whole("login")

    seen.page.get_by_label("API key").fill("not-the-key")
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#access-why")).to_contain_text("refused this key")
    seen.assert_whole("login-refused")
    seen.page.get_by_label("API key").fill(ADMIN_KEY)
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#llms tbody")).to_contain_text("echo")

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
    asked = [request for request in seen.asked if "/health/" in request.url]
    seen.page.wait_for_event("request", lambda request: request not in asked, timeout=15_000)

    assert len([request for request in seen.asked if "/admin/" in request.url]) == 1


def test_a_key_without_the_scope_is_told_which_one(gateway: StartGateway, visit: OpenVisit) -> None:
    """And can be changed for another there and then."""
    running = gateway(env={"TRISTAR_ADMIN_KEY": ADMIN_KEY})
    made = running.request(
        "POST",
        "/admin/keys",
        json={"name": "reader", "scopes": ["metrics", "audit:read"]},
        headers={"authorization": f"Bearer {ADMIN_KEY}"},
    ).json()
    seen = visit(running)
    seen.refusals_expected = True
    seen.open("audit")
    seen.page.get_by_label("API key").fill(made["key"])
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#records tbody")).to_contain_text("key_created")
    seen.go("overview").wait_for("live")
    seen.go("memory")

    expect(seen.page.locator("#entries")).to_contain_text("memory:read")
    seen.assert_whole("forbidden")
    seen.page.get_by_role("button", name="Use another key").click()
    expect(seen.page.locator("#access")).to_be_visible()


def test_what_the_operator_wants_everybody_to_know_is_shown(gateway: StartGateway, visit: OpenVisit) -> None:
    """`[server] notice` stands above everything else, key or no key; without one there is no empty box."""
    told = gateway(toml='[server]\nnotice = "Maintenance from 02:00"\n', name="told")
    silent = gateway(name="silent")

    expect(visit(told).open().page.locator("#announcement")).to_have_text("Maintenance from 02:00")
    expect(visit(silent).open().page.locator("#announcement")).to_be_hidden()
