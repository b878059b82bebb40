"""The two text formats: Prometheus 0.0.4 and OpenMetrics 1.0, and the choice between them.

`ailinux_request_count` is a counter without OpenMetrics' `_total`. Both formats carry it
under exactly that name: as `counter` in 0.0.4, as `unknown` in OpenMetrics, whose strict
parsers refuse a counter of such a name. OpenMetrics stays at 1.0 whatever is asked for,
since 1.0 is what is written. Nothing here writes `_created` series; exemplars stand on buckets
alone, and in OpenMetrics alone.
Formats: prometheus.io/docs/instrumenting/exposition_formats, OpenMetrics 1.0 specification.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as client_text
from prometheus_client.openmetrics.exposition import generate_latest as client_openmetrics
from prometheus_client.registry import Collector

from tristar.metrics.family import Family, Frozen, Lines

_EOF: Final = "# EOF\n"
_ACCEPT_CHARS: Final = 2_000


class Format(Enum):
    """A text format; the value is its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def negotiate(accept: str | None) -> Format:
    """OpenMetrics where an `Accept` header names it no lower than plain text; else text 0.0.4."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for offer in (accept or "")[:_ACCEPT_CHARS].split(","):
        kind, *parameters = (part.strip().lower() for part in offer.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    openmetrics, text = weights.values()
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= text else Format.TEXT


def compose(families: Iterable[tuple[Family, Frozen]], others: CollectorRegistry, form: Format) -> bytes:
    """One whole exposition: our families, then those of the collectors in `others`."""
    lines: Lines = []
    for family, frozen in families:
        lines.append(_header(family, form))
        frozen.write(lines, examples=form is Format.OPENMETRICS)
    lines.append(_client_lines(others, form))
    if form is Format.OPENMETRICS:
        lines.append(_EOF)
    return "".join(lines).encode()


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _header(family: Family, form: Format) -> str:
    name, kind = family.name, str(family.kind)
    if form is Format.OPENMETRICS and kind == "counter":
        if name.endswith("_total"):
            name = name.removesuffix("_total")
        else:
            kind = "unknown"
    return f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n"


def _client_lines(others: CollectorRegistry, form: Format) -> str:
    if form is Format.TEXT:
        return client_text(_Uncreated(others)).decode()
    body: bytes = client_openmetrics(_Uncreated(others))  # type: ignore[no-untyped-call]  # typed in 0.0.4 only
    return body.decode().removesuffix(_EOF)


class _Uncreated(Collector):
    """A registry without its `_created` samples."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric
