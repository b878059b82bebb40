"""A small log written under strace: in which order, and what happens when any one call fails."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.audit.bench import Bench
from tests.audit.trials.calls import Call, Strace, most_per_thread, named_in, read_calls
from tests.audit.trials.outcome import Outcome
from tests.audit.trials.scribbler import scribble

from tristar.audit.checkpoint import SLOTS
from tristar.audit.gaps import read_gaps
from tristar.audit.segments import SEGMENTS
from tristar.audit.verify import verify
from tristar.errors import TriStarError

_LIFETIME_S = 60.0
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")
CALLS = (
    "pwrite64", "fdatasync", "fsync", "write", "openat", "rename", "unlink", "ftruncate", "fallocate",
    "mkdir", "link", "close",
)  # fmt: skip


@dataclass(frozen=True)
class Life:
    """One run of the scribbler: where, what it acknowledged, and the trace of it."""

    root: Path
    told: list[tuple[str, int]]
    calls: list[Call]


def live(root: Path, *, records: int = 30, inject: str = "", retention_days: float = 2) -> Life:
    """Let a scribbler write under strace, with a fault injected as strace says it, and wait for its end."""
    root.mkdir(parents=True)
    told, trace = root / "told", root / "trace"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([scribble.__module__])
    ours, theirs = context.Pipe()
    arguments = theirs, str(root), str(told), records, retention_days
    process = context.Process(target=scribble, args=arguments, daemon=True)
    process.start()
    theirs.close()
    ours.recv()
    with Strace(process.pid or 0, trace, inject=inject):
        ours.send(None)
        process.join(_LIFETIME_S)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            raise AssertionError(f"it did not end: {inject}")
    process.close()
    ours.close()
    lines = told.read_text().split("\n")[:-1] if told.exists() else []
    names = [(name, int(seq)) for name, seq in (line.split(" ") for line in lines)]
    return Life(root, names, read_calls(trace))


def order(root: Path) -> Outcome:
    """Before every acknowledgement its line was synced, and after it a checkpoint."""
    outcome, life = Outcome(), live(root)
    written: dict[str, Call] = {}
    for call in life.calls:
        if call.name == "pwrite64" and f"/{SEGMENTS}/" in call.path and call.ok:
            for name in named_in(call.strings[0]):
                written.setdefault(name, call)
    for call in life.calls:
        if call.name != "write" or not call.path.endswith("/told"):
            continue
        for line in call.strings[0].decode().splitlines():
            name = line.partition(" ")[0]
            outcome.count("acknowledgements")
            outcome.require(covered(life.calls, written.get(name), call), f"{name} was told too soon")
    outcome.require(alive_and_well(life.root, life.told, outcome), "the log is not good")
    return outcome


def covered(calls: list[Call], line: Call | None, told: Call) -> bool:
    """Whether line and checkpoint were synced, one after the other, between this write and that word."""
    if line is None:
        return False
    synced = _sync(calls, line.path, line.end, told.start)
    if synced is None:
        return False
    signed = [
        call
        for call in calls
        if call.name == "pwrite64" and call.path.endswith(SLOTS) and synced.end < call.start < told.start
    ]
    return any(_sync(calls, call.path, call.end, told.start) is not None for call in signed)


def _sync(calls: list[Call], path: str, after: int, before: int) -> Call | None:
    """The first sync of this file that began after one line of the trace and succeeded before another."""
    return next(
        (
            call
            for call in calls
            if call.name in {"fdatasync", "fsync"} and call.path == path and call.ok
            and call.start > after and call.end < before
        ),
        None,
    )  # fmt: skip


def alive_and_well(root: Path, told: list[tuple[str, int]], outcome: Outcome, what: str = "") -> bool:
    """Whether the log opens, closes, verifies; what was told must be there once, or deleted by retention."""
    bench, before = Bench(root), len(outcome.faults)
    try:
        writer = bench.open()
        writer.close()
    except (TriStarError, OSError) as error:
        outcome.faults.append(f"{what}: the log does not open: {error}")
        return False
    outcome.require(not writer.health().warning, f"{what}: {writer.health().warning}")
    found = {int(str(record["seq"])): str(record["event_id"]) for record in bench.records()}
    gaps = read_gaps(bench.directory, [bench.signer.verifier])
    for name, seq in told:
        deleted = gaps.covers(seq, seq + 1)
        outcome.require(found.get(seq) == name or (deleted and seq not in found), f"{what}: {name} is lost")
    for name, times in Counter(found.values()).items():
        outcome.require(times == 1, f"{what}: {name} is there {times} times")
    report = verify(bench.directory, bench.signer.verifier, workers=1)
    outcome.faults += [f"{what}: verify: {fault}" for fault in report.faults]
    return len(outcome.faults) == before


def every_fault(calls: list[Call]) -> Iterator[str]:
    """Each call of a life, failing in each way: once, and from then on for ever."""
    most = most_per_thread(calls)
    for name in CALLS:
        for number in range(1, most[name] + 1):
            for fault in FAULTS:
                yield f"{name}:{fault}:when={number}"
            yield f"{name}:error=EIO:when={number}+"


def injected(root: Path, *, step: int = 1, start: int = 0) -> Outcome:
    """Let one call fail, or kill the process in it; every so manieth of all there are.

    Nothing may be acknowledged that is not in the log afterwards, and the log must open and verify.
    """
    outcome = Outcome()
    faults = list(every_fault(live(root / "whole").calls))
    outcome.figures["faults there are"] = len(faults)
    for number in range(start, len(faults), step):
        life = live(root / str(number), inject=faults[number])
        outcome.count("faults injected")
        outcome.count("acknowledged", len(life.told))
        alive_and_well(life.root, life.told, outcome, faults[number])
    return outcome
