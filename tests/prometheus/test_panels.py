"""The dashboard panel by panel, as an operator reads it at night."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana/tristar-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROWS: list[str] = [
    panel["title"].partition(" (")[0] for panel in DASHBOARD["panels"] if panel["type"] == "row"
]
ALERTS: dict[str, str] = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((ROOT / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
UNITS = {"reqps", "ops", "short", "none", "s", "percentunit", "bytes", "currencyUSD"}
DRAWN_BY_LABEL = {"timeseries", "state-timeline", "heatmap"}

LIMIT = re.compile(r"(\w+) fires (?:above|below) ([\d.,]+)(?: (%|s|minutes))?")

Panel = dict[str, Any]


def each(panels: list[Panel]) -> pytest.MarkDecorator:
    """The test once for each of these panels."""
    return pytest.mark.parametrize("panel", panels, ids=[panel["title"] for panel in panels])


def alerts_named(panel: Panel) -> list[str]:
    """The alerts that its description sends the reader to."""
    return [name for name in ALERTS if re.search(rf"\b{name}\b", panel["description"])]


def limit_of(panel: Panel) -> float | None:
    """Where its line is drawn."""
    limit: float | None = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
    return limit


def limits_in(expr: str) -> set[float]:
    """The numbers that an alert compares with, and the burn rates that it multiplies a budget by."""
    found = re.findall(r"[<>]=? (\d[\d.]*)|\((\d[\d.]*) \*", expr)
    return {float(one or other) for one, other in found}


def test_the_rows_are_the_subjects_in_their_order() -> None:
    """What matters first stands first."""
    assert [row for row in ROWS if row != "Access"] == [
        *("Overview", "SLO and error budget", "HTTP", "LLM", "Tokens and cost"),
        *("Resilience", "Memory", "Audit", "Internals"),
    ]


def test_no_title_stands_twice_in_a_row() -> None:
    """Nobody has to say which of two is meant."""
    places: list[tuple[str, str]] = []
    row = ""
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            places.append((row, panel["title"]))

    assert len(set(places)) == len(places)


@each(PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_and_takes_the_chosen_data_source(
    panel: Panel,
) -> None:
    """Title, a sentence, a unit of Grafana's, the variable at the top, and no query without it."""
    source = {"type": "prometheus", "uid": "${datasource}"}

    assert re.match(r"[A-Z]", panel["title"])
    assert re.fullmatch(r"[A-Z].*\.", panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [source] * (
        1 + len(panel["targets"])
    )
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@each(PANELS)
def test_the_unit_fits_what_is_asked(panel: Panel) -> None:
    """Seconds are seconds, rates are per second, shares are shares."""
    unit, exprs = panel["fieldConfig"]["defaults"]["unit"], [target["expr"] for target in panel["targets"]]
    times = [expr for expr in exprs if "histogram_quantile" in expr and "_seconds_bucket" in expr]
    rates = [
        expr for expr in exprs if re.match(r"sum(?: by \([\w, ]+\))? ?\(rate\(\w+_(?:total|count)\b", expr)
    ]

    assert not times or unit == "s"
    assert not [expr for expr in rates if "process_cpu" not in expr and "/" not in expr] or unit in {
        "reqps",
        "ops",
    }
    assert all("rate(" not in expr or "[" in expr for expr in exprs)


@each([panel for panel in PANELS if any(" by (" in target["expr"] for target in panel["targets"])])
def test_a_legend_names_labels_that_its_query_returns(panel: Panel) -> None:
    """`{{model}}` over a query that has lost the model would be an empty legend."""
    for target in panel["targets"]:
        grouped = re.search(r"by \(([\w, ]+)\)", target["expr"])
        wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        if grouped is None:
            continue
        returned = set(grouped[1].split(", "))

        assert wanted <= returned
        if panel["type"] in DRAWN_BY_LABEL and "histogram_quantile" not in target["expr"]:
            assert wanted == returned


@each([panel for panel in PANELS if len(panel["targets"]) > 1])
def test_several_queries_have_several_legends(panel: Panel) -> None:
    """P50 and P99 are told apart."""
    legends = [target["legendFormat"] for target in panel["targets"]]

    assert len(set(legends)) == len(legends)


@each([panel for panel in PANELS if LIMIT.search(panel["description"])])
def test_a_line_is_the_limit_of_the_alert_that_the_description_names(panel: Panel) -> None:
    """Drawn where it fires, and visible."""
    told = LIMIT.search(panel["description"])
    assert told is not None
    scale = {"%": 0.01, "minutes": 60.0}.get(told[3], 1.0)
    figure = float(told[2].rstrip(".,").replace(",", "")) * scale
    style = panel["fieldConfig"]["defaults"].get("custom", {}).get("thresholdsStyle", {"mode": "stat"})

    assert told[1] in ALERTS
    assert any(figure == pytest.approx(limit) for limit in limits_in(ALERTS[told[1]]))
    assert limit_of(panel) == pytest.approx(figure or 1)  # "above 0" of a count is drawn at 1
    assert style["mode"] != "off"


@each([panel for panel in PANELS if limit_of(panel) is not None])
def test_a_line_that_is_drawn_is_explained(panel: Panel) -> None:
    """By an alert, or by what the figure means."""
    explained = alerts_named(panel) or re.search(
        r"promised|budget|must be 0", panel["description"], re.IGNORECASE
    )

    assert limit_of(panel) is None or explained


@each([panel for panel in PANELS if panel["type"] == "state-timeline"])
def test_a_state_has_a_word_and_a_colour_for_every_value(panel: Panel) -> None:
    """Nobody has to know that 2 is half-open."""
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    values = {
        "Circuit breakers": {"0", "1", "2"},
        "Dependencies": {"0", "0.5", "1"},
        "Last verification": {"0", "1"},
    }

    assert mapping["options"].keys() == values[panel["title"]]
    assert all(option["text"] and option["color"] for option in mapping["options"].values())


def test_the_curve_of_every_alert_is_on_the_dashboard() -> None:
    """Whoever is called finds on the dashboard what called them, or the alert itself says that it is gone."""
    shown = "\n".join(target["expr"] for panel in PANELS for target in panel["targets"])
    missing = {
        (name, metric)
        for name, expr in ALERTS.items()
        for metric in re.findall(r"\bailinux_\w+", expr)
        if metric not in shown and "ratio_rate" not in expr
    }

    assert missing == {
        (
            "ClockSkew",
            "ailinux_clock_timestamp_seconds",
        ),  # the description says which clock is off, and by how much
        # Without TLS there is no curve; the description says how long there is left.
        ("TLSCertificateEndsSoon", "ailinux_tls_certificate_end_timestamp_seconds"),
        ("TLSCertificateEndsNow", "ailinux_tls_certificate_end_timestamp_seconds"),
        ("AuditMandatorySinkStuck", "ailinux_audit_sink_mandatory"),  # not a figure: it picks the sinks
    }
