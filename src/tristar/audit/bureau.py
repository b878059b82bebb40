"""Has the log read by clerks: processes of their own, so that no question is on a request's way."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from tristar.audit.clerk import Ask, Build, Export, Prove, Sql, Task, Verify
from tristar.audit.outfile import Compression
from tristar.audit.question import Question, Record
from tristar.errors import AuditCorrupt, BadRequest, NotFound, Unavailable

WAIT_S: Final = 10.0
MOST_ROWS: Final = 10_000
"""No answer to SQL has more."""

_PIECE_BYTES: Final = 256 * 1024
_LINE_BYTES: Final = 1 << 20
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "HOME")

_log = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True):
    """What a SELECT found; see `sql.Answer`."""

    columns: list[dict[str, str]]
    data: list[list[Any]]
    truncated: bool


class Exported(msgspec.Struct, frozen=True):
    """What went out in an export; `first` and `last` are None where nothing did."""

    count: int
    first: dict[str, Any] | None
    last: dict[str, Any] | None
    checkpoint: str | None


def environment() -> dict[str, str]:
    """What a clerk gets to know of its parent's environment: nothing secret."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


class Progress(Protocol):
    """Told how much is done, and of how much."""

    def __call__(self, done: int, total: int) -> None:
        """So much of so much."""
        ...


def _nobody(done: int, total: int) -> None:
    """Progress for nobody."""


class Bureau:
    """Asks clerks about one log. At most `desks` work at a time; who finds none free waits up to `WAIT_S`.

    All methods raise:
        BadRequest: the question is wrong, or takes more time or memory than there is.
        NotFound: there is no such record, or no log.
        AuditCorrupt: the log is damaged where it was read.
        Unavailable: the clerk could not work, or none was free.
    """

    def __init__(self, directory: Path, *, desks: int = 2) -> None:
        self._directory = str(directory.absolute())
        self._desks = asyncio.Semaphore(desks)

    async def ask(self, question: Question) -> list[Record]:
        """The records that match."""
        fields = {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in question.fields().items()
        }
        answer = await self._whole(Ask(self._directory, fields))
        return msgspec.json.decode(answer, type=list[dict[str, Any]])

    async def sql(self, text: str, rows: int, *, seconds: float = 30.0, memory_mb: int = 256) -> Answer:
        """The rows that one SELECT over the table `audit` finds."""
        task = Sql(self._directory, text, rows, seconds, memory_mb)
        return msgspec.json.decode(await self._whole(task), type=Answer)

    async def prove(self, seq: int) -> bytes:
        """The inclusion proof of a record, as JSON."""
        return await self._whole(Prove(self._directory, seq))

    async def verify(
        self, key: str, expect_checkpoint: str | None = None, progress: Progress = _nobody
    ) -> dict[str, Any]:
        """The report of a verification, as `verify.Report.told` gives it. One core's worth of work."""
        task = Verify(self._directory, key, expect_checkpoint)
        answer: dict[str, Any] = msgspec.json.decode(await self._whole(task, progress))
        return answer

    async def build(self) -> None:
        """Make the columns that are missing."""
        await self._whole(Build(self._directory))

    async def export(
        self, form: str, compression: Compression, since: str | None, until: str | None
    ) -> AsyncGenerator[bytes | Exported, None]:
        """The pieces of an export, and at last what it held. Close the iterator to break it off."""
        task = Export(self._directory, form, compression, since, until)
        async with self._clerk(task) as clerk:
            assert clerk.process.stdout is not None  # noqa: S101 - asked for where it is started
            while piece := await clerk.process.stdout.read(_PIECE_BYTES):
                yield piece
            yield msgspec.convert(await clerk.done(), Exported)

    async def _whole(self, task: Task, progress: Progress = _nobody) -> bytes:
        async with self._clerk(task, progress) as clerk:
            try:
                async with asyncio.timeout(task.seconds):
                    assert clerk.process.stdout is not None  # noqa: S101 - asked for where it is started
                    answer = await clerk.process.stdout.read()
                    await clerk.done()
            except TimeoutError:
                raise BadRequest(
                    f"This took longer than {task.seconds:g} s and was broken off: narrow it by time."
                ) from None
        return answer

    @contextlib.asynccontextmanager
    async def _clerk(self, task: Task, progress: Progress = _nobody) -> AsyncIterator["_Clerk"]:
        try:
            async with asyncio.timeout(WAIT_S):
                await self._desks.acquire()
        except TimeoutError:
            raise Unavailable(
                "Others are reading the audit log; retry in a moment.", retry_after_s=WAIT_S
            ) from None
        try:
            clerk = await _Clerk.start(task, progress)
            try:
                yield clerk
            finally:
                await clerk.dismiss()
        finally:
            self._desks.release()


class _Clerk:
    """One process at work."""

    def __init__(self, process: asyncio.subprocess.Process, progress: Progress) -> None:
        self.process = process
        self._progress = progress
        self._report: dict[str, Any] = {}
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, task: Task, progress: Progress) -> "_Clerk":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tristar.audit.clerk",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            env=environment(),
        )
        clerk = cls(process, progress)
        assert process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(msgspec.json.encode(task))
            await process.stdin.drain()
        process.stdin.close()
        return clerk

    async def _listen(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - asked for where it is started
        said: list[str] = []
        async for line in self.process.stderr:
            try:
                report = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                said.append(line.decode(errors="replace"))
                continue
            if "progress" in report:
                self._progress(*report["progress"])
            else:
                self._report = report
        if said:
            _log.error("a clerk failed: %s", "".join(said)[-4000:])

    async def done(self) -> object:
        """What the clerk says of its work in the end; raises as `Bureau` documents."""
        await self._listening
        code = await self.process.wait()
        if "done" in self._report:
            return self._report["done"]
        message, param = str(self._report.get("message", "")), self._report.get("param")
        match self._report.get("error"):
            case "wrong":
                raise BadRequest(message, param=param)
            case "missing":
                raise NotFound(message)
            case "corrupt":
                raise AuditCorrupt(message)
            case _:
                raise Unavailable(f"The audit log could not be read ({message or code}).", retry_after_s=1)

    async def dismiss(self) -> None:
        """End it, if it still works."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._listening
