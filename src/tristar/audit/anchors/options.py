"""What an operator chooses about an anchor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AnchorType = Literal["file", "syslog", "timestamp"]


@dataclass(frozen=True)
class AnchorOptions:
    """One anchor. Times in seconds; a field that its type does not take is left as it is here.

    `ca_file` is for the connection, `tsa_ca_file` for the signature of a time-stamp authority.
    """

    name: str = ""
    type: AnchorType = "file"
    interval_s: float = 3600.0
    timeout_s: float = 10.0
    path: Path | None = None
    address: tuple[str, int] = ("", 0)
    url: str = ""
    tsa_ca_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
