"""What an operator chooses about a sink."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

SinkType = Literal["syslog", "splunk", "elastic", "webhook", "otlp", "nats", "s3"]
Start = Literal["oldest", "now"]

BATCH_BYTES: Final = 1 << 20
"""The most bytes of log lines in one delivery; a single longer record is delivered alone."""
OBJECT_BYTES: Final = 8 << 20
"""The same for objects of an S3 store."""


@dataclass(frozen=True)
class SinkOptions:
    """One sink. Times in seconds; a field that its type does not take is left as it is here.

    `format` is one of `audit.formats`; "" is what is usual for the type. `mandatory`: retention deletes
    nothing that the sink has not acknowledged. `start` says where a sink without a cursor begins.
    """

    name: str = ""
    type: SinkType = "syslog"
    mandatory: bool = False
    start: Start = "oldest"
    format: str = ""
    batch_records: int | None = None
    linger_s: float | None = None
    timeout_s: float = 10.0
    address: tuple[str, int] = ("", 0)
    url: str = ""
    index: str = ""
    acknowledge: bool = False
    subject: str = "tristar.audit"
    bucket: str = ""
    prefix: str = "tristar-audit/"
    region: str = "us-east-1"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    user: str = ""
    secret: str | None = field(default=None, repr=False)

    @property
    def records(self) -> int:
        """The most records in one delivery."""
        return self.batch_records or (50_000 if self.type == "s3" else 500)

    @property
    def pause_s(self) -> float:
        """How long records may gather for one delivery."""
        if self.linger_s is not None:
            return self.linger_s
        return 60.0 if self.type == "s3" else 1.0

    @property
    def batch_bytes(self) -> int:
        """The most bytes of log lines in one delivery."""
        return OBJECT_BYTES if self.type == "s3" else BATCH_BYTES
