"""Going on after damage, because an operator says so: recorded, signed, and visible for ever."""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from tristar.audit.checkpoint import SLOT_BYTES, SLOTS, Slot, Slots, read_checkpoint, read_slot, read_slots
from tristar.audit.disk import Disk
from tristar.audit.draft import Draft
from tristar.audit.gaps import Gaps, Range, Reset, merged, read_gaps, write_gaps
from tristar.audit.lock import WRITER_LOCK, DirectoryLock
from tristar.audit.options import WriterOptions
from tristar.audit.recovery import Grown, accepted_keys, make_directories, read_rotations, recover
from tristar.audit.segments import list_segments
from tristar.audit.signing import Signer, VerifierKey, trusted_keys
from tristar.audit.tree import Frontier
from tristar.audit.verify import verify
from tristar.audit.writer import AuditWriter
from tristar.clock import Clock
from tristar.errors import AuditCorrupt, AuditUnavailable


def recover_accept_truncation(
    directory: Path,
    *,
    signer: Signer,
    clock: Clock,
    internal: Callable[[str, str, Mapping[str, object]], Draft],
    operator: str,
    reason: str,
    disk: Disk | None = None,
) -> Gaps | None:
    """Make a log that refuses to start usable again, giving up what is missing or altered; None: nothing is
    wrong.

    The tree goes on from its newest signed state, so checkpoints kept elsewhere still fit. Only where no
    signed state is left does the log begin again from the lines as they are. What was given up stands in a
    signed statement and in an `audit_recovered` record; no file with lines is changed. Keep a copy of the
    directory first.

    Raises:
        WriterBusy: somebody writes the log.
        AuditCorrupt: the damage is of a kind that cannot be given up.
        OSError: the disk failed.
    """
    device = disk or Disk()
    make_directories(device, directory)
    lock = DirectoryLock(directory / WRITER_LOCK)
    try:
        damage = _damage(device, directory, signer, clock)
        if damage is None:
            return None
        gaps = _give_up(device, directory, signer, f"{operator}: {reason}: {damage}"[:1000])
        recover(device, directory, signer, clock.time)
    finally:
        lock.release()
    details = {"override": True, "operator": operator, "reason": reason, "damage": damage, **_told(gaps)}
    _record(directory, details, signer=signer, clock=clock, internal=internal, disk=device)
    return gaps


def announce_restore(
    directory: Path,
    *,
    signer: Signer,
    clock: Clock,
    internal: Callable[[str, str, Mapping[str, object]], Draft],
    operator: str,
    reason: str,
    superseded: bytes,
    disk: Disk | None = None,
) -> tuple[int, int]:
    """Say in the log that a backup was put back, so that checkpoints from after it contradict nobody.

    `superseded` is the newest checkpoint kept from before the restore. Returns the records that the log had
    when the backup was made, and when it was lost. It stands in a signed statement for ever; every later
    verification tells of it.

    Raises:
        WriterBusy: somebody writes the log.
        ValueError: the checkpoint is not one of this log's, or the log is not behind it.
        AuditCorrupt: what was restored is damaged, or not whole.
        OSError: the disk failed.
    """
    device = disk or Disk()
    lock = DirectoryLock(directory / WRITER_LOCK)
    try:
        keys = accepted_keys(directory, signer)
        lost = read_checkpoint(superseded, trusted_keys(keys, read_rotations(directory)))
        if lost.origin != signer.name:
            raise ValueError(f"it is a checkpoint of another log, {lost.origin}")
        size = recover(device, directory, signer, clock.time).frontier.size
        if lost.size <= size:
            raise ValueError(f"it covers {lost.size} records and the log has {size}: nothing was set back")
        gaps = read_gaps(directory, keys)
        said = f"{operator}: {reason}: a backup of {size} records was put back, {lost.size} had been signed"
        write_gaps(
            device,
            directory,
            signer,
            msgspec.structs.replace(
                gaps,
                rewound=merged((*gaps.rewound, (size, lost.size))),
                overrides=(*gaps.overrides, said[:1000]),
            ),
        )
    finally:
        lock.release()
    details = {
        "restored": True,
        "operator": operator,
        "reason": reason,
        "tree_size": size,
        "superseded_size": lost.size,
        "superseded_root": lost.root.hex(),
    }
    _record(directory, details, signer=signer, clock=clock, internal=internal, disk=device)
    return size, lost.size


def _damage(disk: Disk, directory: Path, signer: Signer, clock: Clock) -> str | None:
    try:
        recover(disk, directory, signer, clock.time)
    except AuditCorrupt as error:
        return str(error)
    return None


def _give_up(disk: Disk, directory: Path, signer: Signer, override: str) -> Gaps:
    keys = accepted_keys(directory, signer)
    slot, whole = _best_slot(directory / SLOTS, keys)
    frontier = slot.frontier if slot is not None else None
    gaps = _gaps(directory, keys)
    if frontier is None:
        frontier = _by_lines(directory)
        gaps = msgspec.structs.replace(gaps, rewound=_rewound(slot, frontier, gaps))
    if not whole:
        disk.unlink(directory / SLOTS)
        Slots.create(disk, directory / SLOTS, signer, frontier).close()
    packed = base64.b64encode(frontier.pack()).decode()
    gaps = msgspec.structs.replace(
        gaps.with_accepted(*_wrong(directory, keys, frontier.size)),
        resets=(*gaps.resets, Reset(size=frontier.size, frontier=packed)),
        overrides=(*gaps.overrides, override),
    )
    write_gaps(disk, directory, signer, gaps)
    return gaps


def _gaps(directory: Path, keys: list[VerifierKey]) -> Gaps:
    try:
        return read_gaps(directory, keys)
    except AuditCorrupt:
        return Gaps()  # it was forged or spoiled: what it explained is given up anew


def _best_slot(path: Path, keys: Sequence[VerifierKey]) -> tuple[Slot | None, bool]:
    """The newest checkpoint that can be believed, and whether the pair is as it should be."""
    try:
        return read_slots(path, keys)[1], True
    except (AuditCorrupt, OSError):
        found = []
    raw = path.read_bytes() if path.exists() else b""
    for position in (0, 1):
        try:
            found.append(read_slot(raw[position * SLOT_BYTES : (position + 1) * SLOT_BYTES], keys))
        except ValueError:
            continue
    return max(found, key=lambda slot: slot.number, default=None), False


def _by_lines(directory: Path) -> Frontier:
    """The tree that the lines make, where no signed one is left."""
    tree = Frontier()
    for segment in list_segments(directory):
        for block in segment.blocks():
            tree = Grown.of(tree, [line for line in block if line]).frontier
    return tree


def _rewound(slot: Slot | None, frontier: Frontier, gaps: Gaps) -> tuple[Range, ...]:
    end = slot.statement.size if slot is not None else frontier.size
    return merged((*gaps.rewound, (frontier.size, max(end, frontier.size + 1))))


def _wrong(directory: Path, keys: Sequence[VerifierKey], size: int) -> list[Range]:
    """The records that verification names."""
    report = verify(directory, keys, workers=1)
    spans = [(f.seq, f.seq if f.last is None else f.last) for f in report.faults if f.seq is not None]
    return [(first, min(last + 1, size)) for first, last in spans if first < size]


def _told(gaps: Gaps) -> dict[str, object]:
    return {
        "given_up": [list(span) for span in gaps.accepted],
        "rewound": [list(span) for span in gaps.rewound],
        "tree_size": gaps.resets[-1].size,
        "frontier": gaps.resets[-1].frontier,
    }


def _record(
    directory: Path,
    details: Mapping[str, object],
    *,
    signer: Signer,
    clock: Clock,
    internal: Callable[[str, str, Mapping[str, object]], Draft],
    disk: Disk,
) -> None:
    failed: list[AuditUnavailable] = []

    def told(tokens: Sequence[object], error: AuditUnavailable | None) -> None:  # noqa: ARG001 - `OnCommit`
        if error is not None:
            failed.append(error)

    writer = AuditWriter.open(
        directory,
        options=WriterOptions(retention_days=36_500),
        signer=signer,
        clock=clock,
        on_commit=told,
        internal=internal,
        disk=disk,
    )
    try:
        writer.append(internal("audit_recovered", "audit/log", details))
    finally:
        writer.close()
    if failed:
        raise failed[0]
