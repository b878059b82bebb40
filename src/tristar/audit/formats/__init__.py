"""The forms in which a SIEM takes the log: one module each, one row here."""

from collections.abc import Callable, Mapping

from tristar.audit.formats import cef, ecs, leef, ocsf, syslog
from tristar.audit.formats.fields import Fields

RENDERERS: Mapping[str, Callable[[Fields], bytes]] = {
    "ecs": ecs.render,
    "ocsf": ocsf.render,
    "cef": cef.render,
    "leef": leef.render,
    "syslog": syslog.render,
}
"""Each turns one record into one line without its newline. `jsonl` needs none: its lines are the log's."""

NAMES: tuple[str, ...] = ("jsonl", *RENDERERS, "parquet")
"""Every format an export can have. `parquet` has columns in place of lines and comes from DuckDB."""
