"""One look at the console: a page of its own, and what the browser complained about."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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

    def open(self, state: str = "live") -> "Visit":
        """Open the console and wait until it says that it is in this state."""
        self.page.goto(f"{self.url}/console")
        self.wait_for(state)
        return self

    def wait_for(self, state: str) -> None:
        """Wait until the console says that it is in this state."""
        expect(self.page.locator("main")).to_have_attribute("data-state", state, timeout=15_000)

    def figure(self, name: str) -> str:
        """The text of one of the tiles' figures."""
        return self.page.locator(f"[data-figure={name}] strong").inner_text()

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
        assert self.errors == []
        assert self.foreign == []

    def _hear(self, message: ConsoleMessage) -> None:
        if self.refusals_expected and message.text.startswith("Failed to load resource"):
            return
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _see(self, request: Request) -> None:
        self.asked.append(request)
        if not re.match(re.escape(self.url) + "(/|$)", request.url):
            self.foreign.append(request.url)
