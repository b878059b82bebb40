"""The console's files as they are sent: types, headers, tags, and nothing that does not belong there."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from tristar.edge import console
from tristar.edge.control import control_app

NAMES = sorted(console.load_assets())
PARTS = {"uPlot.esm.js", "uPlot.min.css", "uPlot.LICENSE.txt"}
OWN = [name for name in NAMES if name not in PARTS]
SVG_NAMESPACE = "http://www.w3.org/2000/svg"


def client() -> httpx.AsyncClient:
    """A client of an application that serves the console alone."""
    app = control_app("0", [console.router()])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


async def get(path: str, **headers: str) -> httpx.Response:
    """One answer of it."""
    async with client() as http:
        return await http.get(path, headers={name.replace("_", "-"): text for name, text in headers.items()})


def text_of(name: str) -> str:
    """A file as it is sent."""
    return console.load_assets()[name].body.decode()


@pytest.mark.parametrize("path", ["/console", *(f"/console/{name}" for name in NAMES)])
async def test_every_file_carries_the_strict_headers(path: str) -> None:
    """Own content only, no sniffing, no framing, no referrer; asked about again each time."""
    answer = await get(path)

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/console", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/style.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
        ("/console/config.json", "application/json"),
    ],
)
async def test_content_types_are_exact(path: str, content_type: str) -> None:
    """A module of another type would not run under nosniff."""
    answer = await get(path)

    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize("tags", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
async def test_a_file_that_the_client_has_is_not_sent_again(tags: str) -> None:
    """304 without a body, with the tag and the policy."""
    first = await get("/console/app.js")
    again = await get("/console/app.js", If_None_Match=tags.format(etag=first.headers["etag"]))

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "content-security-policy" in again.headers


async def test_a_file_that_has_changed_is_sent() -> None:
    """The tag follows from the content."""
    answer = await get("/console/app.js", If_None_Match=console.Asset.of("app.js", b"older").etag)

    assert answer.status_code == 200
    assert answer.content == console.load_assets()["app.js"].body


async def test_the_page_learns_what_it_can_show_and_nothing_else() -> None:
    """These files are open to everyone."""
    answer = await get("/console/config.json")

    assert answer.json() == {"charts": True, "by_meaning": False}


def test_the_page_offers_a_search_by_meaning_where_there_is_one() -> None:
    """An embedding llm is configured, or the choice is not shown."""
    assert json.loads(console.load_assets(by_meaning=True)["config.json"].body)["by_meaning"] is True


def test_without_its_parts_the_console_is_whole_but_for_charts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where set-up could not fetch them, the page is told so and asks for nothing that is not there."""
    monkeypatch.setattr(console, "PARTS", tmp_path / "none")
    assets = console.load_assets()

    assert json.loads(assets["config.json"].body)["charts"] is False
    assert set(NAMES) - set(assets) == PARTS


@pytest.mark.parametrize(
    "name", ["none.js", "..%2Fconsole.py", "%2e%2e%2fconsole.py", "static", "a/b.js", "app.js%00", "x" * 5000]
)
async def test_a_name_that_is_no_file_of_it_is_not_found(name: str) -> None:
    """Names are looked up in a table, never on the disk; the answer stays short."""
    answer = await get(f"/console/{name}")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert len(answer.content) < 1000


async def test_head_is_answered_without_a_body() -> None:
    """With the headers of GET."""
    async with client() as http:
        answer = await http.head("/console")

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"]


class _Inline(HTMLParser):
    """Collects what the policy would refuse to run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.phrases: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self.phrases |= {given[name] or "" for name in ("data-t", "data-t-label") if name in given}


def test_the_page_has_no_inline_script_or_style() -> None:
    """No element, no attribute, no handler."""
    page = _Inline()
    page.feed(text_of("index.html"))

    assert page.found == []


@pytest.mark.parametrize("name", OWN)
def test_no_file_names_a_foreign_address(name: str) -> None:
    """The namespace of SVG is a name, not an address."""
    text = text_of(name).replace(SVG_NAMESPACE, "")

    assert not re.search(r"https?://|url\(|@import|//[a-z]+\.", text)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_no_script_turns_text_into_markup_or_code(name: str) -> None:
    """What a model answers or an error says is shown as text."""
    text = text_of(name)

    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_every_import_is_a_file_of_the_console(name: str) -> None:
    """A misspelt module would leave the page blank."""
    imported = re.findall(r'from "\./([^"]+)"', text_of(name))

    assert set(imported) <= set(NAMES)


def _dictionary(name: str) -> dict[str, str]:
    pairs = re.findall(r'(\w+): ("(?:[^"\\]|\\.)*")', text_of(name))
    assert len(pairs) == len(dict(pairs)), "a phrase twice"
    return {key: json.loads(text) for key, text in pairs}


def test_both_languages_say_the_same_things() -> None:
    """The same phrases with the same slots, none empty."""
    english, german = _dictionary("english.js"), _dictionary("german.js")

    assert english.keys() == german.keys()
    assert all(english.values())
    assert all(german.values())
    assert {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in english.items()} == {
        key: sorted(re.findall(r"\{\w+\}", text)) for key, text in german.items()
    }


def test_every_phrase_of_the_page_is_in_the_dictionary() -> None:
    """Those of the markup and those that scripts say."""
    page = _Inline()
    page.feed(text_of("index.html"))
    said = {
        phrase
        for name in NAMES
        if name.endswith(".js")
        for phrase in re.findall(r'\bsay\("(\w+)"', text_of(name))
    }

    assert page.phrases | said <= _dictionary("english.js").keys()
    assert len(said) > 20


def imported(name: str) -> set[str]:
    """Every module that this one needs to start."""
    found = {name}
    for each in re.findall(r'^(?:import|export) .*from "\./([^"]+)"', text_of(name), re.MULTILINE):
        found |= imported(each)
    return found


def test_what_the_first_page_needs_is_fetched_at_once() -> None:
    """Named in the page, not found out module by module; pages that were not asked for are not fetched."""
    named = re.findall(r'rel="modulepreload" href="console/([^"]+)"', text_of("index.html"))

    assert sorted([*named, "app.js"]) == sorted(imported("app.js"))
    assert "audit.js" not in named
