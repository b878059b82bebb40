"""What goes in and out at `/admin/audit`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tristar.audit.bureau import MOST_ROWS

Text = Annotated[str, Field(max_length=1024)]
Time = Annotated[
    str,
    Field(max_length=64, description="ISO 8601, inclusive; without an offset it is the server's local time."),
]
Form = Literal["jsonl", "ecs", "ocsf", "cef", "leef", "syslog", "parquet"]
LARGEST_PAGE = 1000


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Wanted(BaseModel):
    """Which records; every condition must hold, exactly."""

    model_config = ConfigDict(extra="forbid")

    since: Time | None = None
    until: Time | None = None
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "SECURITY"] | None = None
    action: Text | None = None
    user_id: Text | None = None
    trace_id: Text | None = None
    resource: Text | None = Field(default=None, description="The exact path.")
    text: Text | None = Field(
        default=None, description="Anywhere in a record's fields or details, in any case."
    )
    order: Literal["newest", "oldest"] = Field(default="newest", description="Which come first.")
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = 100
    cursor: (
        Annotated[str, Field(pattern=r"^\d{1,18}$", description="`next_cursor` of the page before.")] | None
    ) = None


class RecordOut(BaseModel):
    """One record of the log. Programs that write to it by themselves choose their own actions and details."""

    model_config = ConfigDict(extra="allow")

    timestamp: str | None = Field(description="RFC 3339, UTC, six decimals.")
    trace_id: str | None
    action: str | None
    resource: str | None
    log_level: str | None
    seq: int = Field(description="The record's place in the log; there are no gaps.")
    event_id: str | None
    outcome: str | None
    user_id: str | None = Field(
        description="The id of the key, `anonymous` or `bootstrap`; `os:NAME` at the command line."
    )
    session_id: str | None
    ip_address: str | None
    duration_ms: float | None
    status: int | None
    details: Any = None
    service: str | None
    version: str | None
    host: str | None
    worker: str | None


class RecordPage(BaseModel):
    """A page of records."""

    data: list[RecordOut]
    next_cursor: str | None


class SqlQuestion(_Body):
    """One SELECT over the table `audit`, whose columns are the fields of a record."""

    sql: Annotated[str, Field(min_length=1, max_length=20_000)] = Field(
        examples=["SELECT action, count(*) FROM audit GROUP BY action"],
        description="DuckDB's SQL. It reads `audit` and nothing else.",
    )
    limit: Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows at the most.")] = 1000


class ColumnOut(BaseModel):
    """One column of an answer."""

    name: str
    type: str = Field(description="As DuckDB names it.")


class SqlAnswer(BaseModel):
    """Rows, as lists in the order of the columns."""

    columns: list[ColumnOut]
    data: list[list[Any]]
    truncated: bool = Field(
        description="There are more rows than were asked for, or than an answer holds (16 MiB)."
    )


class Verification(_Body):
    """How to verify."""

    expect_checkpoint: (
        Annotated[
            str,
            Field(
                max_length=16_384,
                description="The text of a `checkpoint` kept elsewhere: the log must contain it.",
            ),
        ]
        | None
    ) = None
    progress: bool = Field(
        default=False,
        description='Answer in JSON lines: `{"progress": {"done", "total"}}` (bytes), then `{"report": …}`.',
    )


class FaultOut(BaseModel):
    """One thing that is wrong; `last` ends a range that `record` begins."""

    file: str
    record: int | None
    last: int | None
    problem: str


class ReportOut(BaseModel):
    """What the verification found."""

    ok: bool
    size: int
    root: str
    origin: str
    segments: int
    read_bytes: int
    faults: list[FaultOut]
    notices: list[str]


class ProofOut(BaseModel):
    """An inclusion proof (RFC 6962); `tristar audit prove --json` gives the same."""

    seq: int
    size: int
    entry: str = Field(description="SHA-256 of the line, in hex.")
    line: str | None = Field(description="The record's own bytes; null where retention has deleted it.")
    hashes: list[str] = Field(description="Base64, leaf end first.")
    checkpoint: str = Field(description="The signed note.")


class PublicKeyOut(BaseModel):
    """Who signs."""

    public_key: str = Field(description="`<name>+<id>+<base64>`, as in audit-signing.vkey.")


class NewHold(_Body):
    """What to keep, and why; without times, everything."""

    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    since: Time | None = None
    until: Time | None = None


class HoldOut(BaseModel):
    """A hold in force; "" is without end."""

    name: str
    reason: str
    since: str
    until: str


class HoldList(BaseModel):
    """Every hold in force."""

    data: list[HoldOut]
