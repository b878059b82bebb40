"""System calls as strace tells them: recorded, made to fail, read back."""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TRACED = (
    "openat,close,write,writev,pwrite64,sendto,sendmsg,fdatasync,fsync,ftruncate,fallocate,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(?<![\w\"])(-?\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)")
_NUMBER = re.compile(r"(?<![\w\\<])-?\d+(?![\w<])")
_END = re.compile(r"\) += (-?\d+|\?)(?:<((?:\\x[0-9a-f]{2})*)>)?(?: (E\w+))?")
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: between which lines of the trace it ran, on what, with what result.

    `path` is that of the first descriptor; `strings` and `numbers` are the other arguments in their order.
    `result` is None for a call that never returned.
    """

    thread: int
    name: str
    start: int
    end: int
    descriptor: int
    path: str
    strings: tuple[bytes, ...]
    numbers: tuple[int, ...]
    result: int | None
    error: str

    @property
    def ok(self) -> bool:
        """Whether it returned without an error."""
        return self.result is not None and self.result >= 0


def read_calls(trace: Path) -> list[Call]:
    """The calls of a trace that strace wrote with `-f -y -xx`, in the order in which they began."""
    begun: dict[int, tuple[str, int, str]] = {}
    found: list[Call] = []
    lines = trace.read_text().splitlines()
    for at, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue  # a signal, an exit
        thread, resumed, name, rest = int(match[1]), match[2], match[3], match[4]
        if resumed:
            name, start, first = begun.pop(thread)
            rest = first + rest
        else:
            start = at
        if rest.endswith("<unfinished ...>"):
            begun[thread] = name, start, rest.removesuffix("<unfinished ...>")
        else:
            found.append(_call(thread, name, start, at, rest))
    found += [_call(thread, *told[:2], len(lines), told[2]) for thread, told in begun.items()]
    return sorted(found, key=lambda call: call.start)


def _call(thread: int, name: str, start: int, end: int, rest: str) -> Call:
    over = None
    for over in _END.finditer(rest):  # noqa: B007 - the last one is wanted
        pass
    arguments = rest[: over.start()] if over else rest
    strings = tuple(bytes.fromhex(found.replace("\\x", "")) for found in _STRING.findall(arguments))
    bare = _STRING.sub("", arguments)
    descriptors = _DESCRIPTOR.findall(bare)
    numbers = tuple(int(n) for n in _NUMBER.findall(_DESCRIPTOR.sub("", bare)))
    result = None if over is None or over[1] == "?" else int(over[1])
    number, path = descriptors[0] if descriptors else ("-1", "")
    if name == "openat" and over is not None and over[2]:
        path = over[2]
    return Call(
        thread, name, start, end,
        -1 if number == "AT_FDCWD" else int(number),
        bytes.fromhex(path.replace("\\x", "")).decode(),
        strings, numbers, result, (over[3] or "") if over else "",
    )  # fmt: skip


class Strace:
    """strace on a process that allows it; use it in a `with`, which ends when the process has ended."""

    def __init__(self, pid: int, trace: Path, *, inject: str = "", calls: str = TRACED) -> None:
        self._pid = pid
        command = [
            "strace",
            "-f",
            "-q",
            "-y",
            "-xx",
            "-s",
            str(1 << 24),
            "-o",
            str(trace),
            "-e",
            f"trace={calls}",
        ]
        if inject:
            command += ["-e", f"inject={inject}"]
        self._process = subprocess.Popen(
            [*command, "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _PATIENCE_S
        while _tracer(self._pid) == 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                said, _ = self._process.communicate(timeout=5)
                raise AssertionError(f"strace does not trace: {said.decode(errors='replace')}")
            time.sleep(0.001)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise


def _tracer(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0])


def most_per_thread(calls: list[Call]) -> Counter[str]:
    """How often each call happens in the thread that makes it most often: strace counts by thread."""
    most: Counter[str] = Counter()
    for (_, name), count in Counter((call.thread, call.name) for call in calls).items():
        most[name] = max(most[name], count)
    return most


def named_in(line: bytes) -> Iterator[str]:
    """The event ids in bytes that hold lines of a log."""
    yield from (found.decode() for found in re.findall(rb'"event_id":"([^"]*)"', line))
