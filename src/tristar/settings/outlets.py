"""Where the audit log goes besides its directory: the sinks and anchors of the configuration file."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.sinks.options import SinkOptions
from tristar.settings import texts
from tristar.settings.document import read_table, table_at
from tristar.settings.faults import Faults, hidden, key_path, shown, suggestion
from tristar.settings.kinds import Rejected
from tristar.settings.row import Row
from tristar.settings.sinktable import ANCHORS, SINKS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_EXTRAS: Final = {"nats": "nats", "s3": "boto3"}
_FILES: Final = ("ca_file", "tsa_ca_file", "cert_file", "key_file")
_PATHS: Final = (*_FILES, "path")


def read_sinks(
    document: Mapping[str, Any], variables: Mapping[str, str], directory: Path, faults: Faults
) -> tuple[SinkOptions, ...]:
    """The sinks that `[audit.sinks.NAME]` describe, in their order."""
    found = []
    for name, kind, values in _outlets(document, "sinks", SINKS, variables, faults):
        if kind in _EXTRAS and importlib.util.find_spec(_EXTRAS[kind]) is None:
            key, fix = key_path("audit", "sinks", name, "type"), f"Install tristar[{kind}]."
            faults.add(key, kind, f"needs the extra {kind}, which is not installed", fix)
        made = replace(SinkOptions(), name=name, type=kind, **_located(values, directory))
        found.append(made)
        _check_files("sinks", made, faults)
    return tuple(found)


def read_anchors(
    document: Mapping[str, Any], variables: Mapping[str, str], directory: Path, faults: Faults
) -> tuple[AnchorOptions, ...]:
    """The anchors that `[audit.anchors.NAME]` describe, in their order."""
    found = []
    for name, kind, values in _outlets(document, "anchors", ANCHORS, variables, faults):
        made = replace(AnchorOptions(), name=name, type=kind, **_located(values, directory))
        found.append(made)
        _check_files("anchors", made, faults)
    return tuple(found)


def _outlets(
    document: Mapping[str, Any],
    group: str,
    types: Mapping[str, Sequence[Row]],
    variables: Mapping[str, str],
    faults: Faults,
) -> list[tuple[str, Any, dict[str, Any]]]:
    """Name, type and values of each table of a group; a table without a type that is known is left out."""
    tables = table_at(table_at(document, "audit", (), faults), group, ("audit",), faults)
    found: list[tuple[str, Any, dict[str, Any]]] = []
    for name in tables:
        at = ("audit", group, name)
        if not _NAME.fullmatch(name):
            allowed = "1 to 40 letters, digits, dashes or underscores"
            faults.add(key_path(*at), "", f"is not a usable name: must be {allowed}", "Rename it.")
        table = table_at(tables, name, at[:2], faults)
        kind = table.get("type")
        if not isinstance(kind, str) or kind not in types:
            problem = "is not a known type" if "type" in table else "is missing"
            said = shown(kind) if "type" in table else ""
            faults.add(key_path(*at, "type"), said, problem, suggestion(str(kind), types))
            continue
        found.append((name, kind, _values(table, types[kind], at, variables, faults)))
    return found


def _values(
    table: Mapping[str, Any],
    rows: Sequence[Row],
    at: tuple[str, str, str],
    variables: Mapping[str, str],
    faults: Faults,
) -> dict[str, Any]:
    for row in rows:
        if row.default_text == "required" and row.name not in table:
            faults.add(key_path(*at, row.name), "", "is missing", f"Name {row.meaning}.")
    named = [row.name for row in rows if row.field == "secret" and row.name in table]
    if len(named) > 1:
        faults.add(key_path(*at, named[1]), "", f"goes not with {named[0]}", "Remove one of them.")
    values = read_table(table, rows, at, faults, tables=("type",))
    if "secret" in values:
        values["secret"] = _secret_in(values["secret"], key_path(*at, named[0]), variables, faults)
    return values


def _secret_in(variable: str, key: str, variables: Mapping[str, str], faults: Faults) -> str | None:
    """The secret in `variable`. What does not look like a name may be the secret itself: it is not shown."""
    secret = variables.get(variable)
    safe = variable if variable.isupper() else hidden(variable)
    if secret is None:
        wanted = variable if variable.isupper() else "that variable"
        faults.add(key, safe, "names a variable that is not set", f"Set {wanted}.")
        return None
    try:
        texts.API_KEY.from_text(secret.strip())
    except Rejected as reason:
        faults.add(variable, hidden(secret), str(reason), f"Set {variable} to the secret alone.")
        return None
    return secret.strip()


def _located(values: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The values with their paths made absolute."""
    return {name: directory / value if name in _PATHS else value for name, value in values.items()}


def _check_files(group: str, made: SinkOptions | AnchorOptions, faults: Faults) -> None:
    """A certificate that cannot be read shows at the start, not at the first delivery."""
    for name in _FILES:
        path = getattr(made, name, None)
        try:
            if path is not None:
                path.open("rb").close()
        except OSError as error:
            key = key_path("audit", group, made.name, name)
            faults.add(key, shown(str(path)), f"cannot be read: {error.strerror}", "Correct the path.")
