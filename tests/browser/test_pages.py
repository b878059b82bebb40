"""Every page of the console: whole, accessible and quiet, at each width, in each language and theme."""

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import OpenVisit
from tests.browser.visit import Visit
from tests.gateway import Gateway

PAGES = ("overview", "llms", "calls", "audit", "memory", "keys", "playground")
TITLES = {
    "en": ("Overview", "LLMs", "Live calls", "Audit log", "Memory", "Keys and limits", "Playground"),
    "de": ("Übersicht", "LLMs", "Live-Aufrufe", "Audit-Log", "Memory", "Schlüssel und Limits", "Spielplatz"),
}
# every width meets every language and every theme, and every language every theme
LOOKS = [(1280, "en-GB", "light"), (1280, "de-DE", "dark"), (390, "en-GB", "dark"), (390, "de-DE", "light")]


@pytest.mark.parametrize(("width", "locale", "scheme"), LOOKS)
def test_every_page_is_whole_and_accessible(
    stage: Gateway, visit: OpenVisit, width: int, locale: str, scheme: str
) -> None:
    """Nothing cut off, axe finds nothing, no complaint in the browser; a picture is kept of each."""
    look = f"{width}-{locale[:2]}-{scheme}"
    seen: Visit = visit(stage, width=width, scheme=scheme, locale=locale).open()
    for page, title in zip(PAGES, TITLES[locale[:2]], strict=True):
        seen.go(page)
        expect(seen.page.locator("main h1")).to_have_text(title)
        expect(seen.page).to_have_title(f"{title} · TriStar")
        seen.assert_whole(f"{page}-{look}")


@pytest.mark.parametrize(("width", "locale", "scheme"), LOOKS)
def test_what_a_page_leads_to_is_whole_and_accessible(
    stage: Gateway, visit: OpenVisit, width: int, locale: str, scheme: str
) -> None:
    """One llm, one record with its proof, one entry, an open call, an answer, a dialog."""
    look = f"{width}-{locale[:2]}-{scheme}"
    seen: Visit = visit(stage, width=width, scheme=scheme, locale=locale).open("llms/weak")
    seen.assert_whole(f"llm-{look}")
    seen.open("audit/1")
    expect(seen.page.locator("#proof .notice")).to_be_visible()
    seen.assert_whole(f"record-{look}")
    seen.open("memory")
    seen.page.locator("#entries th a").first.click()
    expect(seen.page.locator("#content")).to_be_visible()
    seen.settle().assert_whole(f"entry-{look}")
    seen.open("calls").page.locator("#calls summary").last.click()
    seen.assert_whole(f"call-{look}")
    seen.open("playground").page.locator("#send").click()
    expect(seen.page.locator("[data-fact=fact_trace]")).to_be_visible()
    seen.assert_whole(f"answer-{look}")
    seen.open("keys").page.locator("#make-key").click()
    seen.page.locator("dialog summary").click()
    seen.assert_whole(f"key-form-{look}")


def test_the_focus_follows_to_the_heading(stage: Gateway, visit: OpenVisit) -> None:
    """Who cannot see that the page has changed is told."""
    seen = visit(stage).open()
    for page in ("audit", "keys"):
        seen.go(page)

        assert seen.page.evaluate("document.activeElement.tagName") == "H1"


def test_every_page_is_reached_by_keyboard(stage: Gateway, visit: OpenVisit) -> None:
    """From the skip link on; Enter follows the link."""
    seen = visit(stage).open()
    name = "document.activeElement.id || document.activeElement.getAttribute('href')"
    stops = []
    for _ in range(11):
        seen.page.keyboard.press("Tab")
        stops.append(seen.page.evaluate(name))

    assert stops == ["skip", "#/overview", "theme", "language", *(f"#/{page}" for page in PAGES)]
    seen.page.locator('nav a[href="#/memory"]').focus()
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("main h1")).to_have_text("Memory")


def test_an_address_leads_to_its_page_and_back(stage: Gateway, visit: OpenVisit) -> None:
    """Filters are in it, so that a view can be passed on; the browser's back button works."""
    seen = visit(stage).open("audit?action=breaker_transition")
    expect(seen.page.locator("#records tbody tr")).to_have_count(1)
    seen.page.locator("#records th a").click()
    expect(seen.page.locator("#record")).to_contain_text("breaker_transition")
    seen.page.go_back()

    expect(seen.page.locator("#audit-filter [name=action]")).to_have_value("breaker_transition")
    expect(seen.page.locator("#records tbody tr")).to_have_count(1)


def test_a_page_that_is_none_is_the_overview(stage: Gateway, visit: OpenVisit) -> None:
    """An old bookmark leads somewhere."""
    seen = visit(stage).open("none/such")

    expect(seen.page.locator("main h1")).to_have_text("Overview")


def test_language_and_theme_are_remembered(stage: Gateway, visit: OpenVisit) -> None:
    """By the browser, over a reload; the page says everything anew at once."""
    seen = visit(stage).open("playground")
    seen.page.locator("#language").select_option("de")
    expect(seen.page.locator("#send")).to_have_text("Senden")
    seen.page.locator("#theme").select_option("dark")
    seen.page.reload()

    expect(seen.page.locator("#language")).to_have_value("de")
    expect(seen.page.locator("#send")).to_have_text("Senden")
    expect(seen.page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(seen.page.locator("body")).to_have_css("background-color", "rgb(14, 20, 27)")
