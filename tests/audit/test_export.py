"""An export: complete or not there, in order, under the name that is returned."""

import contextlib
import datetime as dt
import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.audit.specimens import compress, lines, write_log

from tristar.audit import outfile
from tristar.audit.export import Export, ExportRefused, Moment, export
from tristar.clock import ManualClock
from tristar.errors import AuditCorrupt

START = dt.datetime.fromtimestamp(ManualClock().time(), dt.UTC)
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
EARLIEST, LATEST = (
    dt.datetime.fromisoformat("0001-01-01"),
    dt.datetime.fromisoformat("9999-12-31T23:59:59.999999"),
)
CONTENT = lines(1000)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A thousand records in four segments, a second apart."""
    directory = tmp_path / "logs" / "audit"
    write_log(directory, CONTENT[:300], CONTENT[300:600], CONTENT[600:601], CONTENT[601:])
    (directory / "checkpoint").write_text("origin\n1000\nroot\n\n— origin sig\n")
    return directory


def written(directory: Path, output: Path, **options: Any) -> Export:  # noqa: ANN401 - handed on as they are
    """An export at a fixed time."""
    return export(directory, output, clock=ManualClock(), **options)


def content(path: Path) -> bytes:
    """The lines of an export, whatever its compression."""
    raw = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(raw)
    return zstandard.ZstdDecompressor().decompressobj().decompress(raw) if path.suffix == ".zst" else raw


@pytest.mark.parametrize(
    ("given", "compression", "real"),
    [
        ("x.jsonl", True, "x.jsonl.gz"),
        ("x.jsonl.gz", True, "x.jsonl.gz"),
        ("x.jsonl", False, "x.jsonl"),
        ("x.jsonl.gz", False, "x.jsonl"),
        ("x.jsonl", "zstd", "x.jsonl.zst"),
        ("x.jsonl.zst", "zstd", "x.jsonl.zst"),
        ("x.jsonl.zst", "gzip", "x.jsonl.gz"),
        ("x", True, "x.gz"),
        ("x", "none", "x"),
        (".gz", True, ".gz.gz"),
        ("a b/ü 😀.jsonl", True, "a b/ü 😀.jsonl.gz"),
        ("deep/er/still/x.jsonl", True, "deep/er/still/x.jsonl.gz"),
        ("x.tar.gz.jsonl", True, "x.tar.gz.jsonl.gz"),
    ],
)
def test_name_tells_the_compression_and_content_is_the_log(
    log: Path, tmp_path: Path, given: str, compression: bool | str, real: str
) -> None:
    """A thousand lines, byte for byte, in order; parent directories are made."""
    exported = written(log, tmp_path / "out" / given, compress=compression)

    assert exported.path == tmp_path / "out" / real
    assert content(exported.path) == b"".join(CONTENT)
    assert stat.S_IMODE(exported.path.stat().st_mode) == 0o600


def test_manifest_describes_the_file(log: Path, tmp_path: Path) -> None:
    """Count, range, SHA-256 of the file as it lies on disk, checkpoint."""
    exported = written(log, tmp_path / "x.jsonl", since=START, until=START + dt.timedelta(seconds=9))

    manifest = json.loads((tmp_path / "x.jsonl.gz.manifest.json").read_bytes())
    raw = exported.path.read_bytes()
    assert exported.manifest_path == tmp_path / "x.jsonl.gz.manifest.json"
    assert (manifest["file"], manifest["format"], manifest["compression"]) == ("x.jsonl.gz", "jsonl", "gzip")
    assert (manifest["count"], manifest["first"]["seq"], manifest["last"]["seq"]) == (10, 0, 9)
    assert manifest["last"]["event_id"] == json.loads(CONTENT[9])["event_id"]
    assert (manifest["sha256"], manifest["bytes"]) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert manifest["checkpoint"].startswith("origin\n1000\n")
    assert (manifest["since"], manifest["until"]) == (
        "2025-06-15T15:06:40.000000Z",
        "2025-06-15T15:06:49.000000Z",
    )
    assert manifest["created"] == "2025-06-15T15:06:40.000000Z"


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize(
    "spell",
    [
        lambda at: at,
        lambda at: at.astimezone(INDIA),
        lambda at: at.astimezone().replace(tzinfo=None),
        lambda at: at.isoformat(),
        lambda at: at.astimezone(INDIA).isoformat(),
        lambda at: at.astimezone().replace(tzinfo=None).isoformat(),
    ],
    ids=["aware", "+05:30", "naive", "text", "text +05:30", "naive text"],
)
def test_since_and_until_are_inclusive_and_naive_means_local(
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    spell: Callable[[dt.datetime], Moment],
) -> None:
    """A record stamped exactly at either end belongs to the export; a microsecond beyond does not."""
    with local_time(monkeypatch, zone):
        since, until = spell(START + dt.timedelta(seconds=10)), spell(START + dt.timedelta(seconds=20))
        past = spell(START + dt.timedelta(seconds=10, microseconds=1))

        assert written(log, tmp_path / "a", since=since, until=until).manifest.count == 11
        assert written(log, tmp_path / "b", since=past, until=until).manifest.count == 10


@contextlib.contextmanager
def local_time(monkeypatch: pytest.MonkeyPatch, zone: str) -> Iterator[None]:
    """Local time is that of the zone."""
    import time  # noqa: PLC0415 - tzset belongs to this context alone

    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("since", [EARLIEST, EARLIEST.replace(tzinfo=INDIA), "0001-01-01", None])
def test_beginning_of_time_means_everything(log: Path, tmp_path: Path, since: Moment | None) -> None:
    """Offsets at the end of the calendar overflow in no one's face."""
    assert written(log, tmp_path / "x", since=since, until=LATEST).manifest.count == 1000


def test_export_of_nothing_is_an_empty_file_with_a_manifest(tmp_path: Path) -> None:
    """No log, or none in the range: that too is an answer."""
    exported = written(tmp_path / "none", tmp_path / "x.jsonl", compress=False)

    assert exported.path.read_bytes() == b""
    assert (exported.manifest.count, exported.manifest.first, exported.manifest.checkpoint) == (0, None, None)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "target",
    [
        "link.jsonl",
        "linked/x.jsonl",
        "into_log/x.jsonl",
        "logs/audit/x",
        "logs/audit/segments/../x",
        "folder",
    ],
)
def test_unsafe_paths_are_refused(log: Path, tmp_path: Path, target: str) -> None:
    """Links, the log's own directory by any way, and what is no file; nothing is written."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "elsewhere" / "y")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "into_log").symlink_to(log)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ExportRefused, match="name"):
        written(log, tmp_path / target, compress=False)

    assert sorted(tmp_path.rglob("*")) == before


def test_directory_that_turns_into_a_link_is_refused(log: Path, tmp_path: Path) -> None:
    """The directory is opened without following a link, after the check too."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dir").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ExportRefused, match="symbolic link"), outfile.OutFile(tmp_path / "dir" / "x", "none"):
        pass

    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"form": "xml"}, {"compress": "rar"}, {"since": "soon"}, {"compress": None}]
)
def test_unknown_choices_are_clear_errors(log: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=r"unknown|not a point in time"):
        written(log, tmp_path / "out" / "x", **options)

    assert not (tmp_path / "out").exists()


def test_existing_file_is_replaced_only_by_a_complete_one(log: Path, tmp_path: Path) -> None:
    """A line that is no record stops an export that must understand it; the old file stays."""
    old = written(log, tmp_path / "x.jsonl", compress=False).path.read_bytes()
    with (log / "segments" / f"{601:020d}.jsonl").open("ab") as active:
        active.write(b"no record\n")

    with pytest.raises(AuditCorrupt, match="no record"):
        written(log, tmp_path / "x.jsonl", compress=False, form="ecs")

    assert (tmp_path / "x.jsonl").read_bytes() == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "x.jsonl", "x.jsonl.manifest.json"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "open"])
def test_disk_that_refuses_leaves_nothing_behind(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """ENOSPC at any step: an error, no partial file, no temporary file."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr(outfile.OutFile, "take", refuse)
    else:
        monkeypatch.setattr(outfile, "os", _Faulty(call, refuse))

    with pytest.raises(OSError, match="No space left"):
        written(log, tmp_path / "out" / "x.jsonl")

    assert list((tmp_path / "out").iterdir()) == []


class _Faulty:
    """The os module, of which one function fails; `open` only when it makes a file."""

    def __init__(self, name: str, refuse: Callable[..., int]) -> None:
        self._name = name
        self._refuse = refuse

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name != self._name:
            return real
        if name != "open":
            return self._refuse
        return lambda *a, **k: self._refuse() if a[1] & os.O_CREAT else real(*a, **k)


def test_file_and_directory_are_synced_before_and_after_the_rename(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complete on disk before it has its name, and its name on disk before the path is returned."""
    seen: list[str] = []
    spy = _Spy(seen)
    monkeypatch.setattr(outfile, "os", spy)

    written(log, tmp_path / "x.jsonl")

    one_file = ["fsync file", "rename", "fsync directory"]
    assert seen == one_file * 2


class _Spy:
    """The os module, noting syncs and renames."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def fsync(self, descriptor: int) -> None:
        """Note what is synced."""
        self._seen.append(f"fsync {'directory' if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 'file'}")
        os.fsync(descriptor)

    def rename(self, source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        """Note the rename."""
        self._seen.append("rename")
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def test_export_while_the_log_grows_and_rotates_is_a_prefix(log: Path, tmp_path: Path) -> None:
    """A writer at full speed: every export is whole lines, in order, without a gap."""
    stop = threading.Event()
    writer = threading.Thread(target=_grow, args=(log / "segments", stop))
    writer.start()
    try:
        exports = [content(written(log, tmp_path / f"{n}.jsonl", compress=False).path) for n in range(20)]
    finally:
        stop.set()
        writer.join()

    for exported in exports:
        seqs = [json.loads(line)["seq"] for line in exported.splitlines()]
        assert seqs == list(range(len(seqs)))
        assert len(seqs) >= 1000
    assert len(exports[-1]) > len(exports[0])


def _grow(folder: Path, stop: threading.Event) -> None:
    """Append in pieces that tear lines; close and compress the segment after every 200 of them."""
    first_seq, seq = 601, 1000
    while not stop.is_set():
        path = folder / f"{first_seq:020d}.jsonl"
        block = lines(200, first_seq=seq)
        with path.open("ab", buffering=0) as active:
            for line in block:
                active.write(line[:50])
                active.write(line[50:])
        seq += 200
        (folder / f"{seq:020d}.jsonl").touch()
        compress(path, [path.read_bytes()])
        first_seq = seq


def test_progress_counts_up(log: Path, tmp_path: Path) -> None:
    """For a terminal: the count so far, the last of them the total."""
    seen: list[int] = []

    written(log, tmp_path / "x", progress=seen.append)

    assert seen == sorted(seen)
    assert seen[-1] == 1000


MEMORY = """
import resource, sys
from pathlib import Path
from tristar.audit.export import export
from tristar.clock import SystemClock
log, out, form = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
export(log / "small", out / "warm", clock=SystemClock(), form=form)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = export(log / "large", out / "x", clock=SystemClock(), form=form, since="2020-01-01").manifest.count
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("form", "mebibytes"), [("jsonl", 128), ("ocsf", 12)])
def test_resident_memory_grows_by_at_most_64_mib(tmp_path: Path, form: str, mebibytes: int) -> None:
    """However large the log: measured on the process's own high-water mark."""
    block = lines(200)
    repeats = (mebibytes << 20) // len(b"".join(block)) // 2
    write_log(tmp_path / "small", block)
    write_log(tmp_path / "large", block * repeats, block * repeats)

    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path), str(tmp_path / "out"), form],
        capture_output=True,
        text=True,
        check=True,
    )

    count, grown_kib = map(int, done.stdout.split())
    assert count == 2 * 200 * repeats
    assert grown_kib < 64 * 1024
