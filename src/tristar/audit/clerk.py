"""Reads the log on somebody's behalf, as a process of its own: `python -m tristar.audit.clerk`.

The task comes as JSON on standard input, the answer goes to standard output. On standard error, JSON lines:
`{"progress": …}`, and at the end `{"done": …}` or `{"error": …, "message": …}`. It runs at low priority
within bounds of time and memory, and apart from making columns it cannot write a file: a question slows
no request, and a hostile one harms nobody.
"""

import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from tristar.audit import confinement
from tristar.audit.checkpoint import CHECKPOINT
from tristar.audit.export import Tally, pieces, span
from tristar.audit.outfile import Compression, packer
from tristar.audit.proof import prove
from tristar.audit.question import Question
from tristar.audit.signing import VerifierKey
from tristar.audit.verify import NothingToVerify, verify
from tristar.errors import AuditCorrupt, BadRequest, NotFound

PROGRESS_EVERY_S: Final = 0.2
MARGIN_MB: Final = 768
"""What Python, DuckDB's code and its threads take beside the memory of a question."""


class Build(msgspec.Struct, frozen=True, tag_field="task", tag="build"):
    """Make the columns that are missing."""

    directory: str
    seconds: float = 3600.0


class Ask(msgspec.Struct, frozen=True, tag_field="task", tag="ask"):
    """Answer a `Question`, given by its fields."""

    directory: str
    question: dict[str, Any]
    seconds: float = 30.0


class Sql(msgspec.Struct, frozen=True, tag_field="task", tag="sql"):
    """Answer one SELECT."""

    directory: str
    sql: str
    rows: int
    seconds: float = 30.0
    memory_mb: int = 256


class Prove(msgspec.Struct, frozen=True, tag_field="task", tag="prove"):
    """The inclusion proof of one record."""

    directory: str
    seq: int
    seconds: float = 30.0


class Verify(msgspec.Struct, frozen=True, tag_field="task", tag="verify"):
    """Verify the log with this public key."""

    directory: str
    key: str
    expect_checkpoint: str | None = None
    seconds: float = 3600.0


class Export(msgspec.Struct, frozen=True, tag_field="task", tag="export"):
    """The records of a span of time, in one of the formats, to standard output."""

    directory: str
    form: str
    compression: Compression
    since: str | None = None
    until: str | None = None
    seconds: float = 24 * 3600.0


Task = Build | Ask | Sql | Prove | Verify | Export


def main() -> int:
    """Do one task; the exit code is 0 if it is done."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    memory_mb = task.memory_mb if isinstance(task, Sql) else 512
    confinement.give_way()
    confinement.bound(task.seconds, memory_mb + MARGIN_MB)
    if isinstance(task, Sql | Prove | Verify):  # the others' code is ours alone, and opens the keyring
        confinement.deny_writing()
    try:
        done = _carry_out(task, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except (BadRequest, ValueError) as error:
        return _fail("wrong", error, getattr(error, "param", None))
    except (NotFound, LookupError, NothingToVerify) as error:
        return _fail("missing", error)
    except AuditCorrupt as error:
        return _fail("corrupt", error)
    except BrokenPipeError:
        return 1  # nobody listens any more
    except OSError as error:
        return _fail("system", error)
    _say({"done": done})
    return 0


def _carry_out(task: Task, out: BinaryIO) -> object:
    directory = Path(task.directory)
    match task:
        case Ask(question=fields):
            from tristar.audit.query import query  # noqa: PLC0415 - DuckDB, where it is needed

            out.write(msgspec.json.encode(query(directory, Question(**fields))))
        case Sql(sql=text, rows=rows, memory_mb=memory_mb):
            from tristar.audit.sql import run  # noqa: PLC0415 - DuckDB, where it is needed

            out.write(msgspec.json.encode(run(directory, text, rows, memory_mb)))
        case Prove(seq=seq):
            out.write(msgspec.json.encode(prove(directory, seq)))
        case Build():
            from tristar.audit.parquet import build  # noqa: PLC0415 - DuckDB, where it is needed

            return build(directory, _Progress())
        case Verify(key=key, expect_checkpoint=expected):
            kept = None if expected is None else expected.encode()
            report = verify(directory, VerifierKey.parse(key), kept, _Progress(), workers=1)
            out.write(msgspec.json.encode(report.told()))
        case Export():
            return _export(task, directory, out)
    return None


def _export(task: Export, directory: Path, out: BinaryIO) -> object:
    told = _Progress()
    tally = Tally(lambda count: told(count, 0))
    within = span(task.since, task.until)
    if task.form == "parquet":
        from tristar.audit.parquet import stream  # noqa: PLC0415 - DuckDB, where it is needed

        stream(pieces(directory, "jsonl", within, tally, unseal=True), out)
    else:
        sink = packer(out, task.compression)
        for piece in pieces(directory, task.form, within, tally):
            sink.write(piece)
        if sink is not out:
            sink.close()
    checkpoint = directory / CHECKPOINT
    signed = checkpoint.read_text(encoding="utf-8") if checkpoint.exists() else None
    return {"count": tally.count, "first": tally.first, "last": tally.last, "checkpoint": signed}


class _Progress:
    """Says how far the work is, now and then."""

    def __init__(self) -> None:
        self._due = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + PROGRESS_EVERY_S
            _say({"progress": [done, total]})


def _fail(kind: str, error: Exception, param: str | None = None) -> int:
    message = getattr(error, "message", None) or str(error)
    _say({"error": kind, "message": message, "param": param})
    return 1


def _say(what: object) -> None:
    sys.stderr.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stderr.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
