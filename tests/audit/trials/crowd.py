"""One log under many processes: together in peace, and while one after the other is killed."""

import random
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.audit.bench import Bench
from tests.audit.sharing import ENDLESS
from tests.audit.trials.nursery import Nursery
from tests.audit.trials.outcome import Outcome

from tristar.audit.lock import WRITER_LOCK
from tristar.audit.verify import verify

_PATIENCE_S = 60.0


def together(root: Path, *, processes: int, each: int, lanes: int, segment_bytes: int) -> Outcome:
    """So many processes append so many records each; nothing may be lost, doubled, torn or out of order."""
    outcome, nursery = Outcome(), Nursery(root, segment_bytes=segment_bytes)
    began = [nursery.start(f"p{number}", each, lanes) for number in range(processes)]
    for process in began:
        outcome.require(nursery.wait(process) == 0, "a process failed")
    found = _settled(root, nursery.acknowledged(), outcome)
    theirs = [name for name in found if not name.startswith("own-")]
    outcome.figures["records"] = len(theirs)
    outcome.figures["segments"] = len(list((root / "audit/segments").iterdir()))
    outcome.require(len(theirs) == processes * each, f"{len(theirs)} records instead of {processes * each}")
    for number in range(processes):
        numbers = [int(name.partition("-")[2]) for name in theirs if name.startswith(f"p{number}-")]
        outcome.require(sorted(numbers) == list(range(each)), f"p{number} is not complete")
        for lane in range(lanes):
            own = [at for at in numbers if at % lanes == lane]
            outcome.require(own == sorted(own), f"p{number} is not in its order")
    return outcome


def kills(root: Path, *, amount: int, processes: int = 4, seed: int = 11, segment_bytes: int) -> Outcome:
    """SIGKILL the writer or any process, again and again, each replaced at once; at the end all together."""
    outcome, chance = Outcome(), random.Random(seed)
    nursery = Nursery(root, segment_bytes=segment_bytes)
    for number in range(processes):
        nursery.start(f"first{number}", ENDLESS, 8)
    try:
        for number in range(amount):
            if not _progress(nursery, chance.randrange(100, 4_000)):
                outcome.faults.append(f"nobody could append any more after {number} kills")
                break
            writer = _writer(nursery)
            victim = writer if writer is not None and chance.random() < 0.5 else chance.choice(nursery.living)
            outcome.count("writers killed" if victim is writer else "others killed")
            nursery.kill(victim)
            nursery.start(f"next{number}", ENDLESS, 8)
    finally:
        nursery.close()
    _settled(root, nursery.acknowledged(), outcome)
    return outcome


def _progress(nursery: Nursery, more_bytes: int) -> bool:
    """Wait until so much more is acknowledged; false where that takes too long."""
    wanted, deadline = nursery.told_bytes() + more_bytes, time.monotonic() + _PATIENCE_S
    while nursery.told_bytes() < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _writer(nursery: Nursery) -> ForkServerProcess | None:
    """Who holds the directory's lock at this moment, as the kernel says."""
    inode = (nursery.root / "audit" / WRITER_LOCK).stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return next((p for p in nursery.living if p.pid == int(fields[4])), None)
    return None


def _settled(root: Path, acknowledged: list[str], outcome: Outcome) -> list[str]:
    """What the log holds once it was opened and closed again: everything acknowledged, once."""
    bench = Bench(root)
    bench.open().close()
    records = bench.records()
    names = [str(record["event_id"]) for record in records]
    found = Counter(names)
    outcome.figures["acknowledged"] = len(acknowledged)
    outcome.faults += [f"{name} is there {found[name]} times" for name in acknowledged if found[name] != 1]
    outcome.faults += [f"{name} is there {times} times" for name, times in found.items() if times > 1]
    outcome.require([r["seq"] for r in records] == list(range(len(records))), "the numbers have a gap")
    report = verify(bench.directory, bench.signer.verifier, workers=1)
    outcome.faults += [f"verify: {fault}" for fault in report.faults]
    outcome.require(report.size == len(records), f"verify saw {report.size} of {len(records)} records")
    return names
