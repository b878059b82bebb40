"""Which class stands for which kind of anchor, loaded when it is needed, and where each keeps what."""

from pathlib import Path
from typing import Final

from tristar.audit.anchors.anchor import Anchor
from tristar.audit.anchors.copies import FileAnchor
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.anchors.syslog import SyslogAnchor

ANCHORS: Final = "anchors"


def open_anchor(options: AnchorOptions, directory: Path) -> Anchor:
    """The anchor of the log in this directory.

    Raises:
        SinkDown: it cannot be used as configured.
    """
    match options.type:
        case "file":
            return FileAnchor(kept_in(options, directory))
        case "syslog":
            return SyslogAnchor(options)
        case "timestamp":
            from tristar.audit.anchors.timestamp import TimestampAnchor  # noqa: PLC0415 - an HTTP client

            return TimestampAnchor(options, kept_in(options, directory))


def kept_in(options: AnchorOptions, directory: Path) -> Path:
    """Where an anchor's files are."""
    return options.path or directory / ANCHORS / options.name
