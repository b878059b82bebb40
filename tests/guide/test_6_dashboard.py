"""Section 6: the dashboard can be imported, and every query of it answers from the running gateway."""

import json
from typing import Any

import pytest
from tests.guide.household import Household
from tests.guide.page import ROOT
from tests.prometheus.test_live import filled, panels

DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana/tristar-dashboard.json").read_text())

EMPTY_SO_FAR = {
    "Sink lag A": "no sink is configured",
    "Delivered A": "no sink is configured",
    "Failed deliveries, last hour A": "no sink is configured",
    "Records that a sink misses, last hour A": "no sink is configured",
    "Anchoring is late by A": "no anchor is configured",
    "Anchored records A": "no anchor is configured",
    "Revocation lag A": "no key was revoked; the histogram is absent before the first time",
    "Without a vector A": "no llm makes vectors; the metric is absent without one",
    "Last verification A": "nothing has been verified; the metric is absent before the first time",
}
FILLED = [(title, filled(expr)) for title, expr in panels() if title not in EMPTY_SO_FAR]


def test_grafana_finds_what_an_import_needs() -> None:
    """The classic schema: title, uid, version, panels on a grid, a time range, no id of another Grafana."""
    grid = {"x", "y", "w", "h"}

    assert DASHBOARD["title"]
    assert DASHBOARD["uid"] == "tristar"
    assert len(DASHBOARD["uid"]) <= 40
    assert DASHBOARD["schemaVersion"] >= 30
    assert DASHBOARD.get("id") is None
    assert DASHBOARD["time"].keys() == {"from", "to"}
    assert all({"id", "type", "title", "gridPos"} <= panel.keys() for panel in DASHBOARD["panels"])
    assert all(panel["gridPos"].keys() == grid for panel in DASHBOARD["panels"])


def test_the_import_asks_for_nothing() -> None:
    """No placeholder is left for the importer to fill; the data source is a menu of the dashboard."""
    text = json.dumps(DASHBOARD)
    (menu,) = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "datasource"]

    assert "__inputs" not in DASHBOARD
    assert "${DS_" not in text
    assert (menu["name"], menu["query"]) == ("datasource", "prometheus")


def test_no_data_source_is_written_into_it() -> None:
    """Every panel and query takes the one that is chosen at the top."""
    used = [
        part["datasource"]
        for panel in DASHBOARD["panels"]
        for part in [panel, *panel.get("targets", [])]
        if "datasource" in part
    ]

    assert used
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in used)


def test_the_example_for_an_alert_of_ones_own_returns_the_open_breaker(household: Household) -> None:
    """`ailinux_circuit_breaker_state > 0`, as in step 3."""
    found = household.shown("ailinux_circuit_breaker_state > 0")

    assert [(labels["llm_id"], state) for labels, state in found] == [("cut-off", 1)]


@pytest.mark.parametrize(("title", "expr"), FILLED, ids=[title for title, _ in FILLED])
def test_every_panel_answers_from_the_running_gateway(household: Household, title: str, expr: str) -> None:
    """After mixed traffic no panel is empty."""
    assert household.shown(expr, within_s=30.0), title


@pytest.mark.parametrize("title", EMPTY_SO_FAR)
def test_what_has_nothing_to_show_is_a_valid_query_all_the_same(household: Household, title: str) -> None:
    """Once this fails, take the panel off the list: it has come alive."""
    household.shown("ailinux_request_count")
    ((_, expr),) = [each for each in panels() if each[0] == title]

    assert household.prometheus.query(filled(expr)) == []
