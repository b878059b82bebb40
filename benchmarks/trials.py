"""The long variants of tests, by name: `make soak ARGS="audit-flips"`, `make soak ARGS="audit"` for a group.

Each takes an empty folder and returns what it tried and what was not as promised. A new one is a line in
`TRIALS`; its short variant belongs into the tests.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.audit.trials import crowd, replay, restarts, tampering, tracing
from tests.audit.trials.outcome import Outcome
from tests.contract.chaos import chaos
from tests.contract.fuzzing import ADMIN, fuzz, fuzzed_gateway
from tests.contract.storm import storm

Trial = Callable[[Path], Outcome]


def _flips(folder: Path) -> Outcome:
    return tampering.flips(tampering.specimen(folder / "log"), 10_000)


def _truncations(folder: Path) -> Outcome:
    bench = tampering.specimen(folder / "log", records=960, segment_bytes=100_000)
    return tampering.truncations(bench, 65_536)


def _lines(folder: Path) -> Outcome:
    bench = tampering.specimen(folder / "log")
    return tampering.lines_changed(bench, 4_000).joined(tampering.segments_removed(bench))


def _rewriting(folder: Path) -> Outcome:
    bench = tampering.specimen(folder / "log")
    return tampering.rehashed(bench, 300).joined(tampering.set_back(bench, 40))


def _crowd(folder: Path) -> Outcome:
    return crowd.together(folder / "log", processes=4, each=25_000, lanes=50, segment_bytes=1_000_000)


def _kills(folder: Path) -> Outcome:
    return crowd.kills(folder / "log", amount=1_000, segment_bytes=1_000_000)


def _order(folder: Path) -> Outcome:
    return tracing.order(folder / "log")


def _faults(folder: Path) -> Outcome:
    return tracing.injected(folder)


def _cuts(folder: Path) -> Outcome:
    return replay.cuts(folder, states=3, records=60)


def _storm(folder: Path) -> Outcome:
    return storm(folder, kills=200)


def _chaos(folder: Path) -> Outcome:
    return chaos(folder, seconds=600, clients=8)


def _rsyslog(folder: Path) -> Outcome:
    return restarts.restarts(folder, times=100)


def _fuzz(folder: Path) -> Outcome:
    with fuzzed_gateway(folder) as gateway:
        found = fuzz(gateway, ADMIN, examples=300)
        nobody = fuzz(gateway, {}, examples=60)
        found.require(kept="Traceback" not in gateway.errors(), broken="a traceback in the log")
    return found.joined(Outcome({"unauthenticated": nobody.figures["requests"]}, nobody.faults))


TRIALS: Mapping[str, Trial] = {
    "audit-crowd": _crowd,
    "audit-kills": _kills,
    "audit-order": _order,
    "audit-faults": _faults,
    "audit-cuts": _cuts,
    "audit-storm": _storm,
    "audit-rsyslog": _rsyslog,
    "audit-flips": _flips,
    "audit-truncations": _truncations,
    "audit-lines": _lines,
    "audit-rewriting": _rewriting,
    "conduct-chaos": _chaos,
    "openapi-fuzz": _fuzz,
}


def named(names: list[str]) -> list[str]:
    """The trials that these names mean; a group is what stands before the first dash.

    Raises:
        KeyError: a name that is neither.
    """
    found: list[str] = []
    for name in names:
        meant = [trial for trial in TRIALS if name in {trial, trial.partition("-")[0]}]
        if not meant:
            raise KeyError(name)
        found += [trial for trial in meant if trial not in found]
    return found
