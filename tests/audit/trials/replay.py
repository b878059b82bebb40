"""Power cuts: the recorded writes of a log's life, cut at every sync."""

import random
import shutil
import tempfile
from pathlib import Path

from tests.audit.trials.outcome import Outcome
from tests.audit.trials.tracing import Life, alive_and_well, live
from tests.audit.trials.volume import HOW, Volume

_MEMORY = Path("/dev/shm")  # what was left is looked at there where it can be: no disk to wait for
_SYNCS = {"fsync", "fdatasync"}


def cuts(root: Path, *, step: int = 1, states: int = 1, records: int = 30, seed: int = 13) -> Outcome:
    """Record a life, cut it just before and just after every so manieth sync, in each way `states` times.

    What was acknowledged before the cut must be there once; the log must open and verify.
    """
    outcome, life, chance = Outcome(), live(root / "life", records=records), random.Random(seed)
    scratch = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else root))
    syncs = [call for call in life.calls if call.name in _SYNCS]
    outcome.figures["syncs"] = len(syncs)
    for sync in syncs[::step]:
        for at in (sync.end - 1, sync.end):
            told = told_before(life, at)
            volume = _volume(life, at)
            for how in HOW:
                for turn in range(states if how in {"torn", "scattered"} else 1):
                    outcome.count("states")
                    outcome.count("acknowledged records looked for", len(told))
                    _lay_out(volume.left(how, chance), life.root, scratch / "left")
                    alive_and_well(scratch / "left", told, outcome, f"{at} {how} {turn}")
    shutil.rmtree(scratch)
    return outcome


def told_before(life: Life, at: int) -> list[tuple[str, int]]:
    """What may have been heard by the time of this line of the trace."""
    heard = []
    for call in life.calls:
        if call.name == "write" and call.path.endswith("/told") and call.start <= at:
            for line in call.strings[0].decode().splitlines():
                name, _, seq = line.partition(" ")
                heard.append((name, int(seq)))
    return heard


def _volume(life: Life, at: int) -> Volume:
    volume = Volume(life.root)
    volume.play(sorted((call for call in life.calls if call.end <= at), key=lambda call: call.end))
    return volume


def _lay_out(state: dict[str, bytes | None], root: Path, target: Path) -> None:
    """Make the files of a state that was under `root` under `target`."""
    shutil.rmtree(target, ignore_errors=True)
    for path, content in state.items():
        place = target / Path(path).relative_to(root)
        if content is None:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            place.write_bytes(content)
            place.chmod(0o600)
