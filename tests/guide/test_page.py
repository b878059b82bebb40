"""The guide itself: two languages that say the same, every link and file there."""

import re

import pytest
from tests.guide.page import ENGLISH, GERMAN, ROOT, Page, statements

LANGUAGES = ("bash", "yaml", "python", "json", "promql")
SECTIONS = range(1, 10)

page = pytest.mark.parametrize("page", [GERMAN, ENGLISH], ids=["de", "en"])


def test_the_sections_are_those_of_the_original() -> None:
    """Whoever knows the guide finds everything under its old number."""
    assert GERMAN.headings == [
        "# Monitoring Setup - TriStar Multi-LLM System",
        "## 1. Übersicht",
        "## 2. Voraussetzungen",
        "## 3. Installation",
        "## 4. Konfiguration",
        "## 5. Metriken-Übersicht",
        "## 6. Grafana-Setup",
        "## 7. Alerting (Beispiele)",
        "### Prometheus Alert Rules (`prometheus/alerts.yml`)",
        "## 8. SIEM-Export",
        "## 9. Nützliche Queries",
    ]


def test_both_languages_have_the_same_sections() -> None:
    """The English page is a twin, not a summary."""
    levels = [[heading.split(" ")[:2] for heading in each.headings[1:]] for each in (GERMAN, ENGLISH)]

    assert [level for level, _ in levels[0]] == [level for level, _ in levels[1]]
    assert re.findall(r"## (\d)\.", GERMAN.text) == re.findall(r"## (\d)\.", ENGLISH.text)


@pytest.mark.parametrize("number", SECTIONS)
def test_both_languages_show_the_same_code(number: int) -> None:
    """Comments apart: what is typed is one and the same."""
    shown = [
        [statements(block) for language in LANGUAGES for block in each.blocks(number, language)]
        for each in (GERMAN, ENGLISH)
    ]

    assert _without_trailing_comments(shown[0]) == _without_trailing_comments(shown[1])


@pytest.mark.parametrize("number", [4, 5])
def test_both_languages_have_the_same_names_in_their_tables(number: int) -> None:
    """Variables with defaults; metrics with types and labels."""
    german, english = GERMAN.table(number), ENGLISH.table(number)
    kept = [0, 2] if number == 4 else [0, 1, 2]

    assert [[row[i] for i in kept] for row in german] == [[row[i] for i in kept] for row in english]


@page
def test_every_link_leads_somewhere(page: Page) -> None:
    """Relative to docs/."""
    links = re.findall(r"\]\(([^)#]+)", page.text)

    assert len(links) >= 4
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


@page
def test_every_file_that_is_named_is_there(page: Page) -> None:
    """`deploy/…`, `grafana/…`, `prometheus/…`, `tests/…` and the template of `.env`."""
    named = set(re.findall(r"\b((?:deploy|grafana|prometheus|tests)/[\w./-]*\w)", page.text)) | {
        ".env.example"
    }

    assert {"grafana/tristar-dashboard.json", "prometheus/alerts.yml"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def _without_trailing_comments(blocks: list[list[str]]) -> list[list[str]]:
    return [[re.sub(r"\s+# .*", "", line) for line in block] for block in blocks]
