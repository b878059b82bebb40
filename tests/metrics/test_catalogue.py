"""Every metric in the code moves, is documented, and is looked at."""

import json
from pathlib import Path

import pytest
import yaml
from tests.metrics.stories import new_books, samples
from tests.metrics.traffic import play, watched_books

from tristar.metrics.family import Family

ROOT = Path(__file__).parents[2]
FAMILIES = {family.name: family for family in new_books().families}


def queries() -> str:
    """Every expression of the dashboard, the alerts and the recording rules."""
    dashboard = json.loads((ROOT / "grafana/tristar-dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    files = ("alerts.yml", "recording.yml")
    groups = [yaml.safe_load((ROOT / "prometheus" / name).read_text())["groups"] for name in files]
    ruled = [rule["expr"] for each in groups for group in each for rule in group["rules"]]
    return "\n".join(shown + ruled)


def row_of(family: Family) -> str:
    """Its row in the reference, as its name, type and labels demand."""
    labels = ", ".join(f"`{label}`" for label in family.label_names)
    cell = f" {labels} " if labels else " "
    return f"| `{family.name}` | {family.kind} |{cell}|"


@pytest.fixture(scope="module")
def moved() -> set[str]:
    """Names of the samples that are above zero after one round of everything."""
    books = watched_books()
    play(books)
    books.render(None)
    books.watch(active_connections=lambda: int("not a number"))
    books.render(None)
    books.watch(active_connections=lambda: 3)
    return {name for name, _, number in samples(books) if number > 0}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_can_be_moved(moved: set[str], name: str) -> None:
    """Nothing is declared that never changes."""
    shown = f"{name}_count" if FAMILIES[name].kind == "histogram" else name

    assert shown in moved


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_is_documented_with_type_and_labels(name: str) -> None:
    """docs/metrics.md has a row for it that begins with the truth."""
    reference = (ROOT / "docs/metrics.md").read_text()

    assert row_of(FAMILIES[name]) in reference


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_is_on_the_dashboard_or_in_a_rule(name: str) -> None:
    """What nobody looks at need not be measured."""
    assert name in queries()


def test_the_reference_names_no_metric_that_does_not_exist() -> None:
    """Rows of metrics that are gone are gone."""
    rows = (ROOT / "docs/metrics.md").read_text().splitlines()
    named = {row.split("`")[1] for row in rows if row.startswith("| `ailinux_")}

    assert named == set(FAMILIES)
