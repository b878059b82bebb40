"""The page of the API in a browser."""

from playwright.sync_api import expect
from tests.browser.conftest import OpenVisit
from tests.gateway import Gateway


def test_every_route_is_on_the_page(visit: OpenVisit, echo: Gateway) -> None:
    """Read from the gateway's own document, with nothing to complain about and nobody else asked."""
    document = echo.request("GET", "/openapi.json").json()
    methods = {"get", "post", "put", "patch", "delete"}
    routes = sum(len(item.keys() & methods) for item in document["paths"].values())
    looked = visit(echo)
    looked.page.goto(f"{echo.url}/docs")

    expect(looked.page.locator("details")).to_have_count(routes)


def test_routes_are_found_by_what_they_do(visit: OpenVisit, echo: Gateway) -> None:
    """The filter leaves what it is asked for; a route opens to its fields and answers."""
    looked = visit(echo)
    looked.page.goto(f"{echo.url}/docs")
    looked.page.get_by_role("searchbox").fill("/rotate")
    found = looked.page.locator("details:visible")

    expect(found).to_have_count(1)
    found.locator("summary").click()
    expect(found).to_contain_text("overlap_s")
    expect(found).to_contain_text("409")
