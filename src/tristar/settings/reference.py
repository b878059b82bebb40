"""The reference page of all settings, written from the rows that the gateway reads them by."""

from collections.abc import Iterable

from tristar.settings.faults import plain
from tristar.settings.row import Row
from tristar.settings.sinktable import ANCHORS, SINKS
from tristar.settings.table import SECTIONS, VARIABLES

_HEAD = """# Settings

Written from the gateway's own table by `make docs`; `make check` compares. Sources, the stronger first: the
flags of `tristar serve` (`--host`, `--port`, `--workers`), the environment, `.env` in the working directory,
the configuration file. An empty variable counts as unset. Relative paths count from the working directory.
`tristar check` names every bad value at once and exits with 2.
"""

_PROVIDERS = """## Providers by their variable

Setting a provider's variable switches it on; its models then work as `provider/model`, with no file at all.
Which variables are whose: [providers.md](providers.md). With no provider at all, the built-in llm `echo`
answers by repeating the question.
"""

_FILE = """## Configuration file

TOML. NAME is your own; a POOL is an `[llms.NAME]` that names a `pool` ([routing.md](routing.md)).
An unknown key stops the start. A complete example:
[tristar.example.toml](tristar.example.toml).
"""

_OUTLETS = """## Sinks and anchors of the audit log

What each kind is for, with examples: [audit-sinks.md](audit-sinks.md). A reload (SIGHUP) takes changes over,
with nothing lost. Keys that end in `_env` name a variable: a secret never stands in the file.
"""


def render() -> str:
    """The whole page as Markdown, ending in one newline."""
    parts = [
        _HEAD,
        "## Environment\n",
        _table("variable", VARIABLES),
        _PROVIDERS,
        _FILE,
    ]
    for section, rows in SECTIONS.items():
        parts += [f"### [{section}]\n", _table("key", rows)]
    parts += [_OUTLETS]
    for group, types in (("sinks", SINKS), ("anchors", ANCHORS)):
        for kind, rows in types.items():
            parts += [f'### [audit.{group}.NAME] with type = "{kind}"\n', _table("key", rows)]
    return "\n".join(parts)


def _table(first: str, rows: Iterable[Row]) -> str:
    lines = [f"| {first} | allowed | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.kind.allowed} | {_default(row)} | {row.meaning} |" for row in rows]
    return "\n".join(lines) + "\n"


def _default(row: Row) -> str:
    if row.default_text is not None:
        return row.default_text
    if row.default is None:
        return "unset"
    return "`[]`" if row.default == () else f"`{plain(row.default)}`"
