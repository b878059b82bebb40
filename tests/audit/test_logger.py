"""The audit log as programs use it that import the library."""

import asyncio
import datetime as dt
import gzip
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from tests.audit.specimens import line

from tristar.audit.draft import Draft
from tristar.audit.logger import EnhancedAuditLogger, Place
from tristar.audit.options import WriterOptions
from tristar.audit.signing import Signer
from tristar.clock import Clock, ManualClock
from tristar.errors import AuditUnavailable, SettingsInvalid

ROOT = Path(__file__).parents[2]


class FileAccess:
    """A log of one plain segment that fails on demand: `fail` records from now on are refused."""

    opened = 0
    fail = 0

    def __init__(
        self,
        directory: Path,
        *,
        options: WriterOptions,
        signer: Callable[[], Signer],
        clock: Clock,
        internal: Callable[[str, str, Mapping[str, object]], Draft],
        timeout_s: float,
    ) -> None:
        self.path = directory / "segments" / f"{0:020d}.jsonl"
        self.options, self.timeout_s, self.internal = options, timeout_s, internal
        self.closed = False
        type(self).opened += 1

    async def append(self, draft: Draft) -> int:
        """Append, or refuse as told."""
        if type(self).fail:
            type(self).fail -= 1
            raise AuditUnavailable("the disk is full")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        seq = self.path.read_bytes().count(b"\n") if self.path.exists() else 0
        with self.path.open("ab") as file:
            file.write(line(draft, seq))
        return seq

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


def unpacked(path: str) -> dict[str, Any]:
    """The one record of a gzipped export."""
    record: dict[str, Any] = json.loads(gzip.decompress(Path(path).read_bytes()))
    return record


class House:
    """A logger, its directory, and the accesses it opened."""

    def __init__(self, directory: Path, mode: Literal["strict", "relaxed"] = "strict") -> None:
        self.directory = directory
        self.clock = ManualClock()
        self.access: type[FileAccess] = type("Access", (FileAccess,), {"opened": 0, "fail": 0})
        place = Place(directory / "logs", directory / "data", WriterOptions(retention_days=7), mode)
        opener: Any = self.access
        self.logger = EnhancedAuditLogger(lambda: place, clock=self.clock, open_access=opener)

    def directory_made(self) -> bool:
        """Whether the log or its keys left anything on disk."""
        return any(self.directory.iterdir())

    async def records(self, **filters: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - handed on as they are
        """What the log holds, oldest first."""
        return await self.logger.query(newest_first=False, **filters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.close()


async def test_log_records_what_it_was_told(tmp_path: Path) -> None:
    """Every argument stands in its field, and the event id is returned."""
    with House(tmp_path) as house:
        event_id = await house.logger.log(
            "INFO",
            "order_placed",
            "/orders/1",
            {"n": 1, "api_key": "x"},
            user_id="anna",
            session_id="s",
            trace_id="abc123",
            ip_address="192.0.2.7",
            duration_ms=1.5,
        )
        (record,) = await house.records()

    assert record | {"timestamp": "", "host": "", "worker": "", "version": ""} == {
        "timestamp": "",
        "trace_id": "abc123",
        "action": "order_placed",
        "resource": "/orders/1",
        "log_level": "INFO",
        "seq": 0,
        "event_id": event_id,
        "outcome": None,
        "user_id": "anna",
        "session_id": "s",
        "ip_address": "192.0.2.7",
        "duration_ms": 1.5,
        "status": None,
        "details": {"n": 1, "api_key": "[REDACTED]"},
        "service": "ailinux-backend",
        "version": "",
        "host": "",
        "worker": "",
    }
    assert re.fullmatch(r"library-\d+", record["worker"])


async def test_log_security_is_level_security(tmp_path: Path) -> None:
    """The same record at its own level."""
    with House(tmp_path) as house:
        await house.logger.log_security("login_blocked", "/login", {"tries": 9}, user_id="eve")
        (record,) = await house.records(level="SECURITY")

    assert (record["action"], record["details"], record["user_id"]) == ("login_blocked", {"tries": 9}, "eve")


async def test_bad_level_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """A clear error, and no directory."""
    with House(tmp_path) as house:
        with pytest.raises(ValueError, match="unknown audit level 'LOUD'"):
            await house.logger.log("LOUD", "x", "/")

        assert await house.records() == []
        assert not house.directory_made()


async def test_strict_mode_says_when_a_record_is_not_durable(tmp_path: Path) -> None:
    """The caller must not take for recorded what is not."""
    with House(tmp_path) as house:
        house.access.fail = 1
        with pytest.raises(AuditUnavailable, match="disk is full"):
            await house.logger.log("INFO", "x", "/")

        assert (await house.logger.get_stats())["logged"] == 0


async def test_relaxed_mode_counts_what_is_lost_and_records_the_gap(tmp_path: Path) -> None:
    """No error; before the next record that can be written stands how many were lost."""
    with House(tmp_path, "relaxed") as house:
        await house.logger.log("INFO", "first", "/")
        house.access.fail = 4
        for _ in range(3):
            await house.logger.log("INFO", "lost", "/")
        house.access.fail = 0
        await house.logger.log("INFO", "second", "/")
        records = await house.records()
        stats = await house.logger.get_stats()

    assert [record["action"] for record in records] == ["first", "audit_gap", "second"]
    assert (records[1]["details"], records[1]["log_level"]) == ({"count": 3}, "ERROR")
    assert (stats["logged"], stats["lost"]) == (2, 3)


async def test_concurrent_losses_are_reported_once(tmp_path: Path) -> None:
    """The gaps add up to what was lost, however many tasks lose at once."""
    with House(tmp_path, "relaxed") as house:
        house.access.fail = 7
        await asyncio.gather(*(house.logger.log("INFO", "x", "/") for _ in range(7)))
        house.access.fail = 0
        await asyncio.gather(*(house.logger.log("INFO", "y", "/") for _ in range(5)))
        gaps = await house.records(action="audit_gap")

    assert sum(gap["details"]["count"] for gap in gaps) == 7
    assert len(await house.records(action="y")) == 5


async def test_writers_own_records_are_made_in_the_same_form(tmp_path: Path) -> None:
    """Action, resource and details as the writer gives them; the level follows from the action."""
    with House(tmp_path) as house:
        await house.logger.log("INFO", "x", "/")
        access: Any = house.logger._open and house.logger._open.access
        record = json.loads(line(access.internal("audit_recovered", "segments", {"records": 2})))

    assert (record["action"], record["log_level"]) == ("audit_recovered", "WARNING")
    assert record["resource"] == "segments"
    assert record["details"] == {"records": 2}


async def test_options_and_deadline_reach_the_writer(tmp_path: Path) -> None:
    """Retention and sizes from the place; relaxed waits a quarter of a second at most."""
    with House(tmp_path, "relaxed") as house:
        await house.logger.log("INFO", "x", "/")
        access: Any = house.logger._open and house.logger._open.access

    assert (access.options.retention_days, access.timeout_s) == (7, 0.25)


async def test_closing_releases_the_log_and_the_next_record_opens_it_again(tmp_path: Path) -> None:
    """Both ways of closing; closing twice or before any use is nothing."""
    with House(tmp_path) as house:
        house.logger.close()
        await house.logger.aclose()
        await house.logger.log("INFO", "x", "/")
        access: Any = house.logger._open and house.logger._open.access
        await house.logger.aclose()
        await house.logger.log("INFO", "y", "/")

        assert access.closed
        assert house.access.opened == 2
        assert len(await house.records()) == 2


async def test_stats_tell_what_the_log_holds(tmp_path: Path) -> None:
    """Counts, range and place; zero and None while there is nothing."""
    with House(tmp_path) as house:
        empty = await house.logger.get_stats()
        for _ in range(3):
            await house.logger.log("INFO", "x", "/")
            house.clock.advance(1)
        stats = await house.logger.get_stats()

    assert (empty["records"], empty["oldest"], empty["segments"], empty["bytes"]) == (0, None, 0, 0)
    assert (stats["records"], stats["first_seq"], stats["last_seq"], stats["segments"]) == (3, 0, 2, 1)
    assert (stats["oldest"], stats["newest"]) == (
        "2025-06-15T15:06:40.000000Z",
        "2025-06-15T15:06:42.000000Z",
    )
    assert (stats["logged"], stats["lost"], stats["mode"]) == (3, 0, "strict")
    assert stats["directory"] == str(tmp_path / "logs")


async def test_export_returns_the_path_really_written(tmp_path: Path) -> None:
    """Positional as in the guide: path, compress, since."""
    with House(tmp_path) as house:
        await house.logger.log("INFO", "x", "/")
        since = dt.datetime.fromtimestamp(house.clock.time(), dt.UTC).astimezone().replace(tzinfo=None)
        path = await house.logger.export_for_siem(str(tmp_path / "export" / "x.jsonl"), True, since)  # noqa: FBT003 - as callers write it

    assert path == str(tmp_path / "export" / "x.jsonl.gz")
    assert unpacked(path)["action"] == "x"


def run(script: str, directory: Path, **environ: str) -> str:
    """What a program prints that runs from the repository root's paths, in a directory of its own."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "TRISTAR_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        cwd=directory,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_touches_no_disk(tmp_path: Path) -> None:
    """No directory is made and no file read, not even a broken `.env`."""
    (tmp_path / ".env").write_text("AUDIT_MAX_SIZE_MB=nonsense\n")

    run("from app.utils.audit_enhanced import enhanced_audit_logger", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_reading_an_absent_log_touches_no_disk(tmp_path: Path) -> None:
    """Queries and statistics of nothing make nothing."""
    script = """
        import asyncio
        from app.utils.audit_enhanced import enhanced_audit_logger as log
        async def main():
            print(await log.query(), (await log.get_stats())["records"])
        asyncio.run(main())
    """

    assert run(script, tmp_path) == "[] 0\n"
    assert list(tmp_path.iterdir()) == []


def test_bad_settings_are_named_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, its value, and the fix."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDIT_MAX_SIZE_MB", "many")
    module = importlib.import_module("app.utils.audit_enhanced")

    with pytest.raises(SettingsInvalid, match="AUDIT_MAX_SIZE_MB = many"):
        asyncio.run(EnhancedAuditLogger(module._place).log("INFO", "x", "/"))

    assert list(tmp_path.iterdir()) == []


def test_settings_come_from_the_environment_and_from_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real environment wins; relative paths count from the working directory."""
    (tmp_path / ".env").write_text(
        "AUDIT_LOG_DIR=from/dotenv\nAUDIT_RETENTION_DAYS=3\nAUDIT_TOTAL_SIZE_MB=500\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("AUDIT_LOG_DIR", "AUDIT_MODE", "AUDIT_MAX_SIZE_MB", "TRISTAR_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUDIT_RETENTION_DAYS", "4")
    module = importlib.import_module("app.utils.audit_enhanced")

    place = module._place()

    assert (place.directory, place.data_dir) == (tmp_path / "from/dotenv", tmp_path / "data")
    assert (place.options.retention_days, place.options.total_bytes) == (4, 500 << 20)
    assert (place.options.max_segment_bytes, place.mode) == (100 << 20, "strict")
