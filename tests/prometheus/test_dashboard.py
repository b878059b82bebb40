"""The dashboard is what the code builds, and what Grafana can import anywhere."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from tests.prometheus.test_live import panels

from tristar.metrics.dashboard import UID, build

COMMITTED = Path(__file__).parents[2] / "grafana/tristar-dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(build())
SHOWN: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_the_committed_dashboard_is_the_built_one() -> None:
    """After a change in the code: `tristar dashboards build`."""
    assert COMMITTED.read_text() == build()


def test_building_twice_gives_the_same_bytes() -> None:
    """Otherwise the comparison above would be luck."""
    assert build() == build()


@pytest.mark.parametrize(("title", "expr"), panels(), ids=[title for title, _ in panels()])
def test_every_query_parses(title: str, expr: str) -> None:
    """With its variables filled in, by a parser that is not Prometheus itself."""
    assert isinstance(promql_parser.parse(expr), promql_parser.Expr), title


def test_its_address_is_stable() -> None:
    """Links in alerts lead to this uid; `id` is Grafana's to give."""
    assert DASHBOARD["uid"] == UID == "tristar"
    assert "id" not in DASHBOARD


def test_its_variables_are_all_there() -> None:
    """The data source first: the others are read from it."""
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]

    assert names == ["datasource", "job", "instance", "model", "provider"]


def test_no_data_source_is_written_into_it() -> None:
    """It works on any Grafana without an edit."""
    sources = [panel["datasource"] for panel in SHOWN]
    sources += [target["datasource"] for panel in SHOWN for target in panel["targets"]]

    assert all(source == SOURCE for source in sources)


def test_the_provisioning_files_fit_the_dashboard_and_the_scrape_interval() -> None:
    """`deploy/grafana`: a data source of Prometheus' own interval, and a folder for the dashboard."""
    root = COMMITTED.parents[1]
    folder = root / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((folder / "datasources/tristar.yml").read_text())["datasources"]
    (place,) = yaml.safe_load((folder / "dashboards/tristar.yml").read_text())["providers"]
    config = yaml.safe_load((root / "prometheus/prometheus.yml").read_text())

    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]
    assert (place["type"], place["allowUiUpdates"]) == ("file", False)


def test_rates_follow_the_scrape_interval() -> None:
    """A fixed window is empty on one Prometheus and blurred on the next."""
    exprs = [target["expr"] for panel in SHOWN for target in panel["targets"]]

    assert not [expr for expr in exprs if "rate(" in expr and "$__rate_interval" not in expr]


def test_panels_stand_side_by_side() -> None:
    """None covers another, none leaves the grid, and ids are unique."""
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    clashes = [
        (one, other)
        for one, other in combinations(places, 2)
        if one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    ]

    assert clashes == []
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
