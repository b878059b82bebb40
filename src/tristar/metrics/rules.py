"""`prometheus/recording.yml`, written from the objectives in the configuration.

A burn rate is an error ratio over its budget, 1 - objective. Ratios and budgets are recorded
here; `prometheus/alerts.yml` and the dashboard compare the two, so that a changed objective
changes this one file. Windows and factors: Google's SRE workbook, chapter 5, table 5-8.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tristar.metrics.family import render_labels
from tristar.metrics.llms import LLM_BOUNDS_S, Pair

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FASTEST_BURN: Final = 14.4
"""The steepest alert; an objective under 1 - 1/14.4 could never trip it."""

_ERRORS: Final = "job:ailinux_request_errors"
_SLOW: Final = "job_model_provider:ailinux_llm_slow_or_failed"
_API: Final = 'endpoint=~"/v1/.+|/mcp"'


@dataclass(frozen=True)
class Objective:
    """`success` of an llm's attempts end well within `within_s` seconds, which is a bucket's bound."""

    success: float = 0.95
    within_s: float = 30.0

    def __post_init__(self) -> None:
        if self.within_s not in LLM_BOUNDS_S:
            raise ValueError(f"{self.within_s} s is no bound of ailinux_llm_latency_seconds")


@dataclass(frozen=True)
class Objectives:
    """What was promised: `availability` of API requests, `llm` for every llm that is not in `own`."""

    availability: float = 0.995
    llm: Objective = Objective()
    own: Mapping[Pair, Objective] = field(default_factory=dict)


def build(objectives: Objectives) -> str:
    """The file as committed in `prometheus/recording.yml` for the default objectives."""
    return "".join(
        [_HEAD, *_availability(objectives.availability), *_llm_latency(objectives), _AVERAGES],
    )


def _availability(objective: float) -> Iterator[str]:
    yield _AVAILABILITY_HEAD.format(good=_percent(objective), budget=_percent(1 - objective))
    for window in WINDOWS:
        failed = f'sum by (job) (rate(ailinux_request_count{{{_API}, status=~"5.."}}[{window}]))'
        every = f"sum by (job) (rate(ailinux_request_count{{{_API}}}[{window}]))"
        yield f"""\
      - record: {_ERRORS}:ratio_rate{window}
        expr: |
          (
            {failed}
            or {every} * 0
          )
          / ({every} > 0)
"""
    yield f"""\
      - record: slo:ailinux_request_errors:budget
        expr: vector({_number(1 - objective)})
"""


def _llm_latency(objectives: Objectives) -> Iterator[str]:
    yield _LLM_HEAD
    for window in WINDOWS:
        yield f"      - record: {_SLOW}:ratio_rate{window}\n        expr: |\n"
        yield from _each(objectives, partial(_slow_ratio, window))
    yield f"      - record: {_SLOW}:budget\n        expr: |\n"
    yield from _each(objectives, _budget)


def _each(objectives: Objectives, write: Callable[[Objective, str], str]) -> Iterator[str]:
    """One expression for every llm with an objective of its own, then one for all; `or` keeps the first."""
    own = sorted(objectives.own.items())
    if not own:
        yield _indented(write(objectives.llm, ""), 10)
        return
    for pair, objective in own:
        yield _indented(f"(\n{_indented(write(objective, _where(pair)), 2)})\nor", 10)
    yield _indented(f"(\n{_indented(write(objectives.llm, ''), 2)})", 10)


def _where(pair: Pair) -> str:
    """The matchers of one llm; a label value in PromQL is written as in the text formats."""
    return render_labels(("model", "provider"), pair)[1:-1]


def _slow_ratio(window: str, objective: Objective, where: str) -> str:
    more = f", {where}" if where else ""
    only = f"{{{where}}}" if where else ""
    by = "sum by (job, model, provider) (rate"
    timeouts = f'{by}(ailinux_llm_calls_total{{status="timeout"{more}}}[{window}]))'
    bound = f'{{le="{objective.within_s!r}"{more}}}'
    return f"""\
(
  {by}(ailinux_llm_calls_total{{status=~"error|rate_limited"{more}}}[{window}]))
  + (
    (
      (
        {by}(ailinux_llm_latency_seconds_count{only}[{window}]))
        - {by}(ailinux_llm_latency_seconds_bucket{bound}[{window}]))
      )
      > {timeouts}
    )
    or {timeouts}
  )
)
/ ({by}(ailinux_llm_calls_total{{status!="cancelled"{more}}}[{window}])) > 0)
"""


def _budget(objective: Objective, where: str) -> str:
    only = f"{{{where}}}" if where else ""
    return f"{_SLOW}:ratio_rate3d{only} * 0 + {_number(1 - objective.success)}\n"


def _number(value: float) -> str:
    return f"{value:.10g}"


def _percent(value: float) -> str:
    return f"{100 * value:.8g} %"


def _indented(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines())


_HEAD: Final = """\
# What the alerts and the dashboard read more than once. No rule here gives NaN: where there
# was no traffic there is no value. Written by `tristar rules build` from the objectives in
# tristar.toml ([slo], and slo_success and slo_within_s of an llm); do not edit.
groups:
"""
_AVAILABILITY_HEAD: Final = """\
  # Availability: the part of API requests that ended in a 5xx. Budget {budget} ({good} good).
  # Health checks and strangers' paths are not API requests and would thin out the errors.
  - name: tristar_availability
    interval: 30s
    rules:
"""
_LLM_HEAD: Final = """\

  # The latency histogram holds successes and timeouts, so what it has over the bound may have been
  # counted as a timeout already: the greater of the two is taken. That is exact as long as
  # timeouts come after the bound, as they do by default; else it errs towards silence. What is
  # slow is count minus bucket, two series that are born together: bucket against calls
  # would take a model's first call for a slow one. A client that left is nobody's failure.
  - name: tristar_llm_latency
    interval: 30s
    rules:
"""
_AVERAGES: Final = """\

  - name: tristar_averages
    interval: 30s
    rules:
      # The mean latency of the monitoring guide, with endpoints that were idle left out:
      # without `> 0` a single idle endpoint makes the average NaN.
      - record: job:ailinux_request_latency_seconds:avg_rate5m
        expr: |
          avg by (job) (
            rate(ailinux_request_latency_seconds_sum[5m])
            / (rate(ailinux_request_latency_seconds_count[5m]) > 0)
          )
"""
