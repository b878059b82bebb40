"""Metric families: a name, its type and its series, kept in this process's memory.

Storage is plain: a family and its series take no lock of their own. The owner (`Books`)
changes and freezes them under one lock, so that a scrape sees each exchange whole or not
at all, and writes the frozen values out after the lock is released.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final, Literal, Protocol

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
Lines = list[str]

Example = tuple[str, float]
"""A trace id, and when it was observed in seconds since the epoch: what an exemplar leads to."""

FOLDED: Final = 64
"""After so many of its kind, what was noted for a histogram is folded into its buckets."""

_INF: Final = float("inf")


class Frozen(Protocol):
    """The values of one family at one moment."""

    def write(self, lines: Lines, *, examples: bool = False) -> None:
        """Append the exposition line of every sample, without the family's header.

        `examples` adds the exemplars of buckets, which OpenMetrics alone has.
        """
        ...

    def samples(self) -> Iterable[Sample]:
        """The same samples as the client library's own type."""
        ...


class Family(Protocol):
    """One metric: what its header says, and a way to hold its values still."""

    name: str
    help: str
    kind: Kind
    label_names: Labels

    def freeze(self) -> Frozen:
        """The present values; later changes do not show in them."""
        ...


class Cell:
    """One series of a counter. `value` only grows; add to it while the owner's lock is held."""

    __slots__ = ("head", "labels", "value")

    def __init__(self, name: str, names: Labels, labels: Labels) -> None:
        self.labels = labels
        self.head = name + render_labels(names, labels) + " "
        self.value: float = 0


class Counter:
    """A counter family; `name` is the exact name that is exposed."""

    kind: Kind = "counter"

    def __init__(self, name: str, help: str, label_names: Labels = ()) -> None:  # noqa: A002 - Prometheus' own word
        self.name, self.help, self.label_names = name, help, label_names
        self._cells: dict[Labels, Cell] = {}
        if not label_names:
            self.bind()

    def bind(self, *labels: str) -> Cell:
        """The series with these label values, in the order of `label_names`; made at 0 if new."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._cells[labels] = Cell(self.name, self.label_names, labels)
        return cell

    def freeze(self) -> Frozen:
        """See `Family.freeze`."""
        return _FrozenValues(self, [(cell.head, cell.labels, cell.value) for cell in self._cells.values()])


class Buckets:
    """One series of a histogram. Hidden until it holds an observation.

    `examples` holds by bucket the value and the `Example` of the last observation that had one.
    `note` is `observe` for the request path: the values wait, and whoever notes calls `fold` now and then.
    """

    __slots__ = ("_bounds", "_noted", "counts", "examples", "head", "labels", "note", "total")

    def __init__(self, bounds: Sequence[float], names: Labels, labels: Labels) -> None:
        self._bounds = bounds
        self.labels = labels
        self.head = render_labels(names, labels)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.examples: dict[int, tuple[float, Example]] | None = None
        self._noted: list[float] = []
        self.note: Callable[[float], None] = self._noted.append

    def fold(self) -> None:
        """Enter what was noted."""
        noted, counts = self._noted, self.counts
        for bucket in map(bisect_left, repeat(self._bounds), noted):
            counts[bucket] += 1
        self.total = sum(noted, self.total)
        noted.clear()

    def observe(self, value: float, example: Example | None = None) -> None:
        """Add one observation, in the family's base unit."""
        bucket = bisect_left(self._bounds, value)
        self.counts[bucket] += 1
        self.total += value
        if example is not None:
            if self.examples is None:
                self.examples = {}
            self.examples[bucket] = value, example


class Histogram:
    """A classic histogram; `bounds` are upper bounds in ascending order, +Inf is implied."""

    kind: Kind = "histogram"

    def __init__(self, name: str, help: str, bounds: Sequence[float], label_names: Labels = ()) -> None:  # noqa: A002 - as above
        self.name, self.help, self.label_names = name, help, label_names
        self.bounds = tuple(float(bound) for bound in bounds)
        self.bound_texts = (*(repr(bound) for bound in self.bounds), "+Inf")
        self._series: dict[Labels, Buckets] = {}

    def bind(self, *labels: str) -> Buckets:
        """The series with these label values; it shows from its first observation on."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = Buckets(self.bounds, self.label_names, labels)
        return series

    def freeze(self) -> Frozen:
        """See `Family.freeze`."""
        for each in self._series.values():
            each.fold()
        seen = [each for each in self._series.values() if any(each.counts)]
        rows = [
            (each.head, each.labels, each.counts.copy(), each.total, dict(each.examples or ()))
            for each in seen
        ]
        return _FrozenBuckets(self, rows)


class Gauge:
    """A gauge family; `values` holds its series by label values, and is replaced, not changed.

    A gauge says what is: its values are read from the live object for each scrape. Where
    nothing could be read there is no series, rather than an old or invented value.
    """

    kind: Kind = "gauge"

    def __init__(self, name: str, help: str, label_names: Labels = ()) -> None:  # noqa: A002 - as above
        self.name, self.help, self.label_names = name, help, label_names
        self.values: Mapping[Labels, float] = {}

    def show(self, value: float | None) -> None:
        """The value of a family without labels; None takes its series away."""
        self.values = {} if value is None else {(): value}

    def show_each(self, values: Mapping[str, float] | None) -> None:
        """The values of a family with one label; None takes its series away."""
        self.values = {(label,): value for label, value in (values or {}).items()}

    def freeze(self) -> Frozen:
        """See `Family.freeze`."""
        rows = [
            (self.name + render_labels(self.label_names, labels) + " ", labels, value)
            for labels, value in self.values.items()
        ]
        return _FrozenValues(self, rows)


class _FrozenValues:
    def __init__(self, family: Family, rows: list[tuple[str, Labels, float]]) -> None:
        self._family = family
        self._rows = rows

    def write(self, lines: Lines, *, examples: bool = False) -> None:
        del examples  # counters and gauges have none: Prometheus 2.42 refuses them on ours
        lines.extend([f"{head}{render_value(value)}\n" for head, _, value in self._rows])

    def samples(self) -> Iterable[Sample]:
        for _, labels, value in self._rows:
            yield Sample(self._family.name, dict(zip(self._family.label_names, labels, strict=True)), value)


_BucketsRow = tuple[str, Labels, list[int], float, dict[int, tuple[float, Example]]]


class _FrozenBuckets:
    def __init__(self, family: Histogram, rows: list[_BucketsRow]) -> None:
        self._family = family
        self._rows = rows

    def write(self, lines: Lines, *, examples: bool = False) -> None:
        name = self._family.name
        for head, _, counts, total, kept in self._rows:
            opening = f'{name}_bucket{head[:-1]},le="' if head else f'{name}_bucket{{le="'
            reached = 0
            for bucket, (bound, count) in enumerate(zip(self._family.bound_texts, counts, strict=True)):
                reached += count
                tail = _exemplar(*kept[bucket]) if examples and bucket in kept else ""
                lines.append(f'{opening}{bound}"}} {reached}{tail}\n')
            lines.append(f"{name}_count{head} {reached}\n{name}_sum{head} {render_value(total)}\n")

    def samples(self) -> Iterable[Sample]:
        name = self._family.name
        for _, values, counts, total, _ in self._rows:
            labels = dict(zip(self._family.label_names, values, strict=True))
            reached = 0
            for bound, count in zip(self._family.bound_texts, counts, strict=True):
                reached += count
                yield Sample(f"{name}_bucket", {**labels, "le": bound}, reached)
            yield Sample(f"{name}_count", labels, reached)
            yield Sample(f"{name}_sum", labels, total)


def _exemplar(value: float, example: Example) -> str:
    """As OpenMetrics 1.0 writes it, section 3.2.4."""
    trace_id, at = example
    return f' # {{trace_id="{_escape(trace_id)}"}} {render_value(value)} {at:.3f}'


def as_client_metric(family: Family, frozen: Frozen) -> Metric:
    """The family as the client library's `Metric`, under its exact exposed name."""
    counter = family.kind == "counter"
    total = counter and family.name.endswith("_total")
    kind = family.kind if total or not counter else "unknown"
    metric = Metric(family.name.removesuffix("_total") if total else family.name, family.help, kind)
    metric.samples = list(frozen.samples())
    return metric


def render_labels(names: Labels, values: Labels) -> str:
    """`{a="1",b="2"}` with the values escaped as both text formats ask; nothing for no labels."""
    if not names:
        return ""
    pairs = [f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)]
    return "{" + ",".join(pairs) + "}"


def render_value(value: float) -> str:
    """A sample value as both text formats write it."""
    if type(value) is int:
        return str(value)
    number = float(value)  # a bool or an enum member is a number too, but its `repr` is none
    if number != number:  # noqa: PLR0124 - the one test that only NaN passes
        return "NaN"
    if number in {_INF, -_INF}:
        return "+Inf" if number > 0 else "-Inf"
    return repr(number)


def _escape(value: str) -> str:
    # A lone surrogate cannot be encoded: one bad label value must not cost the whole scrape.
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
