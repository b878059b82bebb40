"""The Grafana dashboard as JSON text, built from the rows; the same input gives the same bytes.

Classic dashboard schema (grafana.com/docs: "Dashboard JSON model"), since every Grafana
from 9 on imports it. The data source is a variable, so the file carries no address of anybody's.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tristar.metrics.dashboard import access, demand, upkeep
from tristar.metrics.dashboard.panel import Panel, Query, Row

UID: Final = "tristar"
TITLE: Final = "TriStar Multi-LLM System"

ROWS: Final = (
    *(demand.OVERVIEW, demand.BUDGETS, demand.HTTP, demand.LLMS, demand.TOKENS, access.ACCESS),
    *(upkeep.RESILIENCE, upkeep.MEMORY, upkeep.AUDIT, upkeep.INTERNALS),
)

_SCHEMA: Final = 39
_COLUMNS: Final = 24
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HEIGHTS: Final = {"stat": 5}

Json = dict[str, Any]


def build() -> str:
    """The dashboard as committed in `grafana/tristar-dashboard.json`, newline at the end included."""
    return json.dumps(_dashboard(), indent=2, ensure_ascii=False) + "\n"


def _dashboard() -> Json:
    return {
        "uid": UID,
        "title": TITLE,
        "description": "Requests, llms, tokens, breakers, memory and audit log of TriStar.",
        "tags": ["tristar", "llm"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": list(_panels(ROWS)),
    }


def _variables() -> list[Json]:
    source: Json = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }
    return [
        source,
        _variable("job", "label_values(ailinux_build_info, job)"),
        _variable("instance", 'label_values(ailinux_build_info{job=~"$job"}, instance)'),
        _variable("model", 'label_values(ailinux_llm_calls_total{job=~"$job"}, model)'),
        _variable(
            "provider", 'label_values(ailinux_llm_calls_total{job=~"$job", model=~"$model"}, provider)'
        ),
    ]


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def _panels(rows: Sequence[Row]) -> Iterator[Json]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield _heading(row, number, top)
        top += 1
        left, tallest = 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            number += 1
            height = _HEIGHTS.get(panel.kind, 8)
            yield _panel(panel, number, {"h": height, "w": panel.width, "x": left, "y": top})
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _heading(row: Row, number: int, top: int) -> Json:
    place = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
    return {
        "id": number,
        "type": "row",
        "title": row.title,
        "collapsed": False,
        "gridPos": place,
        "panels": [],
    }


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(panel: Panel, query: Query, index: int) -> Json:
    once = panel.kind == "table"
    forms = {"table": "table", "heatmap": "heatmap"}
    return {
        "refId": chr(ord("A") + index),
        "datasource": _DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": forms.get(panel.kind, "time_series"),
        "instant": once,
        "range": not once,
    }


def _defaults(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "thresholds": _thresholds(panel), "mappings": _mappings(panel)}
    if panel.kind == "timeseries":
        defaults["min"] = None if panel.title.endswith("budget left") else 0
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.line is None else "line"},
        }
    if panel.kind == "state-timeline":
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    return defaults


def _thresholds(panel: Panel) -> Json:
    below, above = ("green", "red") if panel.bad == "above" else ("red", "green")
    steps: list[Json] = [{"color": below if panel.line is not None else "green", "value": None}]
    if panel.line is not None:
        steps.append({"color": above, "value": panel.line})
    return {"mode": "absolute", "steps": steps}


def _mappings(panel: Panel) -> list[Json]:
    if not panel.states:
        return []
    options = {
        f"{value:g}": {"text": text, "color": color, "index": index}
        for index, (value, text, color) in enumerate(panel.states)
    }
    return [{"type": "value", "options": options}]


def _options(panel: Panel) -> Json:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    match panel.kind:
        case "stat":
            last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
            return {"reduceOptions": last, "colorMode": "value", "graphMode": "area", "textMode": "value"}
        case "heatmap":
            scheme = {"mode": "scheme", "scheme": "Oranges", "steps": 64}
            return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": scheme}
        case "state-timeline":
            return {"showValue": "auto", "mergeValues": True, "rowHeight": 0.8, "legend": legend}
        case "table":
            return {"showHeader": True}
        case "timeseries":
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
