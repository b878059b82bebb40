"""Write the files that are generated from the code, or with --check compare them: exit 1 if one is stale."""

import difflib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path

import manifests
import reference
import stores_table

from tristar.metrics import rules
from tristar.metrics.dashboard import build
from tristar.providers import reference as providers
from tristar.settings.reference import render

ROOT = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT))
matrix = importlib.import_module("tests.contract.pairs.matrix")


def generated() -> Mapping[str, str]:
    """Every generated file: its path in the repository, and what it should hold."""
    return {
        "docs/providers.md": providers.render(),
        "docs/scaling.md": stores_table.page(),
        "docs/settings.md": render(),
        "docs/surfaces-matrix.md": matrix.render(),
        "grafana/tristar-dashboard.json": build(),
        "prometheus/recording.yml": rules.build(rules.Objectives()),
        **manifests.files(),
        **reference.files(),
    }


def main(arguments: list[str]) -> int:
    """Write every generated file; with `--check` write none, show the differences instead."""
    stale = 0
    for name, wanted in generated().items():
        path = ROOT / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if present == wanted:
            continue
        if "--check" in arguments:
            stale += 1
            diff = difflib.unified_diff(
                present.splitlines(), wanted.splitlines(), name, "generated", lineterm=""
            )
            print("\n".join(diff))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {name}")
    if stale:
        print(f"{stale} generated file(s) are stale: run `make docs` and commit the result.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
