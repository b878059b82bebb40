"""One look at the console: a page of its own, and what the browser complained about."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # untyped
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect
from tests.gateway import Gateway

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


@dataclass
class Visit:
    """A page at a gateway's console. `errors` and `foreign` must stay empty, see `assert_clean`."""

    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    refusals_expected: bool = False
    """Whether requests that fail are part of the test: the browser logs each of them."""

    @classmethod
    def at(
        cls,
        gateway: Gateway,
        browser: Browser,
        *,
        width: int = 1280,
        scheme: str = "light",
        locale: str = "en-GB",
    ) -> "Visit":
        """A fresh browser profile at this gateway, the console not yet opened."""
        options: dict[str, Any] = {"color_scheme": scheme, "locale": locale, "reduced_motion": "reduce"}
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        visit = cls(context.new_page(), gateway.url)
        visit.page.on("console", visit._hear)
        visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
        visit.page.on("request", visit._see)
        return visit

    def open(self, page: str = "overview") -> "Visit":
        """Open a page of the console, `audit/5` say, and wait until it is filled."""
        self.page.goto(f"{self.url}/console#/{page}")
        return self._arrive(re.split("[/?]", page)[0])

    def go(self, page: str) -> "Visit":
        """Go to another page by its link in the navigation, and wait until it is filled."""
        self.page.locator(f'nav a[href="#/{page}"]').click()
        expect(self.page.locator(f'nav a[href="#/{page}"]')).to_have_attribute("aria-current", "page")
        return self._arrive(page)

    def _arrive(self, page: str) -> "Visit":
        there = f'main:is([data-page="{page}"], [data-page="login"])'
        expect(self.page.locator(there)).to_be_visible(timeout=15_000)
        return self.settle()

    def settle(self) -> "Visit":
        """Wait until nothing of the page is loading any more."""
        expect(self.page.locator("main h1")).to_be_visible(timeout=15_000)
        expect(self.page.locator("main .loading, main [aria-busy]")).to_have_count(0, timeout=15_000)
        if self.page.locator("main[data-page=overview]").count():
            expect(self.page.locator("main")).not_to_have_attribute("data-state", "loading", timeout=15_000)
        return self

    def wait_for(self, state: str) -> None:
        """Wait until the overview says that it is in this state."""
        expect(self.page.locator("main")).to_have_attribute("data-state", state, timeout=15_000)

    def figure(self, name: str) -> str:
        """The text of one of the overview's figures."""
        return self.page.locator(f"[data-figure={name}] strong").inner_text()

    def assert_whole(self, name: str) -> None:
        """Keep a picture; nothing is cut off at the side, and axe finds nothing."""
        self.shoot(name)
        width = self.page.viewport_size or {"width": 0}
        assert self.page.evaluate("document.documentElement.scrollWidth") == width["width"], name
        found = Axe().run(self.page).response["violations"]
        assert not found, f"{name}: {[(each['id'], each['nodes'][0]['html'][:200]) for each in found]}"

    def shoot(self, name: str) -> Path:
        """Keep a picture of the whole page as build output."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def run(self, script: str, argument: object = None) -> Any:  # noqa: ANN401 - whatever the script returns
        """Run a function in the page; `await load(name)` in it is one of the console's modules."""
        load = f"const load = (name) => import('{self.url}/console/' + name);"
        return self.page.evaluate(f"async (argument) => {{ {load} {script} }}", argument)

    def assert_clean(self) -> None:
        """No error in the browser's console, no request to anybody else."""
        assert self.errors == [], self.errors
        assert self.foreign == []

    def _hear(self, message: ConsoleMessage) -> None:
        if self.refusals_expected and message.text.startswith("Failed to load resource"):
            return
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _see(self, request: Request) -> None:
        self.asked.append(request)
        if not re.match(re.escape(self.url) + "(/|$)", request.url):
            self.foreign.append(request.url)
