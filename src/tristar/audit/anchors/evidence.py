"""What anchors hold, read back for a verification."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tristar.audit.anchors.anchor import CHECKPOINTS, Checkpoint
from tristar.audit.anchors.opening import kept_in
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.anchors.stamp import STAMPS, StampInvalid, check, load_authorities
from tristar.audit.scan import Fault
from tristar.audit.sinks.receiver import SinkDown

MOST: Final = 200
"""From one anchor so many checkpoints are compared: the newest, the oldest, and some between."""


@dataclass(slots=True)
class Evidence:
    """Checkpoints that the log must contain, each with a name to show; what is wrong; what is to be said."""

    checkpoints: list[tuple[str, bytes]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def gather(anchors: Sequence[AnchorOptions], directory: Path, origin: str) -> Evidence:
    """What these anchors hold of the log with this origin. Writes nothing; asks no other machine."""
    evidence = Evidence()
    for options in anchors:
        if options.type == "syslog":
            evidence.notices.append(
                f"anchor {options.name}: its checkpoints are with the syslog receiver; give the newest as "
                "--expect-checkpoint"
            )
        else:
            _read(options, kept_in(options, directory), origin, evidence)
    return evidence


def _read(options: AnchorOptions, kept: Path, origin: str, evidence: Evidence) -> None:
    try:
        paths = sorted(kept.glob(f"*{CHECKPOINTS}"))
        found = _ours(paths, options.name, origin, evidence)
    except OSError as error:
        evidence.notices.append(f"anchor {options.name}: {kept} cannot be read: {error.strerror}")
        return
    if not found:
        evidence.notices.append(f"anchor {options.name}: {kept} holds no checkpoint of this log")
        return
    chosen = _spread(found)
    evidence.checkpoints += [(f"anchor {options.name}, {path.name}", each.raw) for path, each in chosen]
    stamped = ""
    if options.type == "timestamp":
        stamped = _check_stamps(options, chosen, evidence)
    evidence.notices.append(
        f"anchor {options.name}: {len(found)} checkpoints, the newest of {found[-1][1].size} records{stamped}"
    )


def _ours(paths: list[Path], name: str, origin: str, evidence: Evidence) -> list[tuple[Path, Checkpoint]]:
    found = []
    for path in paths:
        try:
            checkpoint = Checkpoint.parse(path.read_bytes())
        except ValueError:
            evidence.notices.append(
                f"anchor {name}: {path.name} is no checkpoint: it was cut short, or altered"
            )
            continue
        if checkpoint.origin == origin:
            found.append((path, checkpoint))
    return found


def _spread(found: list[tuple[Path, Checkpoint]]) -> list[tuple[Path, Checkpoint]]:
    if len(found) <= MOST:
        return found
    return [found[round(place * (len(found) - 1) / (MOST - 1))] for place in range(MOST)]


def _check_stamps(options: AnchorOptions, chosen: list[tuple[Path, Checkpoint]], evidence: Evidence) -> str:
    """Check the stamps of these checkpoints; returns what to say of the newest good one."""
    try:
        authorities = load_authorities(options.tsa_ca_file)
    except SinkDown as error:
        evidence.notices.append(f"anchor {options.name}: its time stamps were not checked: {error}")
        return ""
    newest: dt.datetime | None = None
    for path, checkpoint in chosen:
        stamp = path.with_name(path.name.removesuffix(CHECKPOINTS) + STAMPS)
        try:
            newest = check(stamp.read_bytes(), checkpoint.raw, authorities)
        except OSError:
            evidence.faults.append(Fault(f"anchor {options.name}, {stamp.name}", None, "is missing"))
        except StampInvalid as error:
            evidence.faults.append(Fault(f"anchor {options.name}, {stamp.name}", None, str(error)))
    return "" if newest is None else f", stamped at {newest:%Y-%m-%dT%H:%M:%SZ}"
