"""One scrape of the gateway's metrics, as numbers that can be asked for by name."""

import re
from collections import Counter, defaultdict

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


class Scrape:
    """The samples of one exposition in text 0.0.4; `types` has what its TYPE lines say.

    Only the lines that are asked for are parsed: a scrape has thousands.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._parsed: dict[str, dict[Labels, float]] = {}
        for line in text.splitlines():
            if name := _NAME.match(line):
                self._lines[name[0]].append(line)

    def __len__(self) -> int:
        """How many samples there are."""
        return sum(map(len, self._lines.values()))

    def series(self, name: str, **labels: str) -> dict[Labels, float]:
        """The samples of this name that carry all these labels."""
        wanted = set(labels.items())
        return {key: value for key, value in self._samples(name).items() if wanted <= key}

    def value(self, name: str, **labels: str) -> float:
        """The sum over the samples of this name that carry all these labels; 0 where there are none."""
        return sum(self.series(name, **labels).values())

    def by(self, name: str, *label_names: str) -> Counter[tuple[str, ...]]:
        """The sum per combination of these labels, zeros left out."""
        sums: Counter[tuple[str, ...]] = Counter()
        for labels, value in self.series(name).items():
            if value:
                known = dict(labels)
                sums[tuple(known.get(label, "") for label in label_names)] += int(value)
        return sums

    def fell_since(self, earlier: "Scrape") -> list[str]:
        """Counters, counts and sums that are less than in an earlier scrape, or gone."""
        fallen = []
        for name in list(earlier._lines):
            if not name.endswith(("_total", "_count", "_sum", "_bucket")) or self.types.get(name) == "gauge":
                continue
            for labels, before in earlier.series(name).items():
                after = self._samples(name).get(labels)
                if after is None or after < before:
                    fallen.append(f"{name}{dict(labels)}: {before} -> {after}")
        return fallen

    def _samples(self, name: str) -> dict[Labels, float]:
        """Without a TYPE line the parser leaves the names as they are exposed."""
        if name not in self._parsed:
            families = text_string_to_metric_families("\n".join(self._lines.get(name, [])) + "\n")
            self._parsed[name] = {
                frozenset(sample.labels.items()): sample.value
                for family in families
                for sample in family.samples
            }
        return self._parsed[name]
