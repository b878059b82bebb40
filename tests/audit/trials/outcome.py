"""What a trial found: how much was tried, and every single thing that was not as promised."""

from dataclasses import dataclass, field
from typing import Self


@dataclass
class Outcome:
    """`figures` say how much was tried; `faults` is empty where every promise was kept."""

    figures: dict[str, int | float | str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.faults

    def count(self, name: str, more: int = 1) -> None:
        """Add to a figure."""
        self.figures[name] = int(self.figures.get(name, 0)) + more

    def require(self, kept: bool, broken: str) -> None:
        """Note what was broken unless it was kept."""
        if not kept:
            self.faults.append(broken)

    def joined(self, other: "Outcome") -> Self:
        """This and another trial's outcome as one."""
        self.figures.update(other.figures)
        self.faults.extend(other.faults)
        return self
