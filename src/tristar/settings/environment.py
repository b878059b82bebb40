"""The environment and the `.env` file beneath it."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream

from tristar.providers.registry import PROVIDER_VARIABLES
from tristar.settings.faults import Faults, nearest
from tristar.settings.kinds import Rejected
from tristar.settings.source import is_there, read_text
from tristar.settings.table import VARIABLES

Values = dict[type, dict[str, Any]]
"""What was read so far: the field values of each dataclass of the settings."""

_OWN_PREFIXES: Final = ("TRISTAR_", "AUDIT_", "METRICS_")


def read_environment(environ: Mapping[str, str], directory: Path, faults: Faults) -> Mapping[str, str]:
    """The variables that are set: `.env` in `directory`, overridden by `environ`.

    An empty value counts as unset. `${NAME}` is not expanded.
    """
    merged = {**_read_dotenv(directory / ".env", faults), **environ}
    variables = {name: value for name, value in merged.items() if value.strip()}
    _find_misspelt(variables, faults)
    return variables


def read_variables(variables: Mapping[str, str], faults: Faults) -> Values:
    """The value of every variable that has a row and is set."""
    values: Values = {}
    for row in VARIABLES:
        text = variables.get(row.name)
        if text is None:
            continue
        try:
            value = row.kind.from_text(text.strip())
        except Rejected as reason:
            faults.reject(row.name, text, row, reason)
        else:
            values.setdefault(row.owner, {})[row.field] = value
    return values


def _read_dotenv(path: Path, faults: Faults) -> dict[str, str]:
    if not is_there(path):
        return {}
    text = read_text(path, faults)
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text or "")):
        line = f"{path}, line {binding.original.line}"
        if binding.error:
            faults.add(line, "", "is not NAME=value", "Correct or remove that line.")
        elif binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def _find_misspelt(variables: Mapping[str, str], faults: Faults) -> None:
    """A variable one slip away from ours is a fault: a misspelt admin key would leave the door open."""
    known = [row.name for row in VARIABLES]
    taken = {*known, *PROVIDER_VARIABLES}
    for name in sorted(variables):
        if name in taken or not name.startswith(_OWN_PREFIXES):
            continue
        close = nearest(name, known, cutoff=0.85)
        if close:
            faults.add(name, "", "is not a variable of TriStar", f"Did you mean {close}?")
