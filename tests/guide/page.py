"""The guide as data: its sections, code blocks and tables."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One language's guide."""

    text: str

    @property
    def headings(self) -> list[str]:
        """Every heading with its level, in order."""
        return re.findall(r"^(#+ .+)$", _FENCED.sub("", self.text), re.MULTILINE)

    def section(self, number: int) -> str:
        """The text under `## N.`."""
        found = re.search(rf"^## {number}\. .*?(?=^## \d|\Z)", self.text, re.MULTILINE | re.DOTALL)
        assert found is not None, f"no section {number}"
        return found[0]

    def blocks(self, number: int, language: str) -> list[str]:
        """The code blocks of a section that are in this language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.section(number), re.MULTILINE | re.DOTALL)

    def table(self, number: int) -> list[list[str]]:
        """The cells of a section's table without its heading, backquotes taken off."""
        lines = re.findall(r"^\|(.+)\|$", self.section(number), re.MULTILINE)
        return [[cell.strip().strip("`") for cell in line.split("|")] for line in lines[2:]]


def statements(block: str) -> list[str]:
    """The lines of a block that are neither comments nor blank."""
    return [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")]


GERMAN = Page((ROOT / "docs/monitoring.de.md").read_text(encoding="utf-8"))
ENGLISH = Page((ROOT / "docs/monitoring.md").read_text(encoding="utf-8"))
