"""The figures in the documents are those of the last benchmark."""

import json
from pathlib import Path

import pytest
from benchmarks.report import PAGES, RESULTS, rendered


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_the_tables_are_those_of_the_results(page: Path) -> None:
    """Nobody typed them: `make bench-report` changes nothing."""
    text = page.read_text()

    assert "<!-- speed -->" in text
    assert rendered(text, json.loads(RESULTS.read_text())) == text
