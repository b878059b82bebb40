"""The dashboard's vocabulary: rows, panels, queries, and the selectors that queries share.

Queries are written for any scrape interval (`$__rate_interval`), and divide by `(… > 0)` so
that idle is a gap and not NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["timeseries", "stat", "heatmap", "state-timeline", "table"]


@dataclass(frozen=True)
class Query:
    """One PromQL expression and the legend of what it returns."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's unit id; `line` draws a threshold there, `bad` says on which side."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    line: float | None = None
    bad: Literal["above", "below"] = "above"
    stacked: bool = False
    states: Sequence[tuple[float, str, str]] = ()
    """Value, text and colour of each state that a value may take."""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


HERE: Final = 'job=~"$job", instance=~"$instance"'
LLM: Final = f'{HERE}, model=~"$model", provider=~"$provider"'
SLO: Final = 'job=~"$job"'
SLO_LLM: Final = f'{SLO}, model=~"$model", provider=~"$provider"'
INTERVAL: Final = "[$__rate_interval]"


def quantile(part: float, metric: str, by: str = "", where: str = HERE) -> str:
    """The quantile of a histogram over the scrape interval, by the labels `by`."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({part}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{INTERVAL})))"


def rate(metric: str, by: str, where: str = HERE) -> str:
    """The rate of a counter per second, summed by the labels `by`."""
    return f"sum by ({by}) (rate({metric}{{{where}}}{INTERVAL}))"


def total(metric: str, where: str = HERE) -> str:
    """The rate of a counter per second, summed over everything."""
    return f"sum(rate({metric}{{{where}}}{INTERVAL}))"
