"""The log, handed to a SIEM: one file in order, and a manifest that says what it holds."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tristar.audit import formats, reader
from tristar.audit.formats.fields import Fields
from tristar.audit.outfile import ExportRefused, OutFile, compression, real_path, refuse_unsafe
from tristar.audit.reader import Position, Snapshot, Span
from tristar.audit.record import timestamp
from tristar.audit.subjects import keyring_of, unseal_lines
from tristar.clock import Clock

__all__ = ["Export", "ExportRefused", "Manifest", "Moment", "export", "moment", "span"]

Moment = dt.datetime | str
"""A point in time as people give it: aware in any offset, or naive and then local; or either in ISO 8601."""

MANIFEST_SUFFIX = ".manifest.json"


class Manifest(msgspec.Struct, frozen=True):
    """What an export holds. `sha256` and `bytes` are those of the file as it lies on disk.

    `first` and `last` are None for an empty export; `since` and `until` are inclusive. `checkpoint` is the
    log's signed checkpoint when the export ended, None if it had none yet.
    """

    file: str
    format: str
    compression: str
    count: int
    first: Position | None
    last: Position | None
    since: str | None
    until: str | None
    bytes: int
    sha256: str
    created: str
    checkpoint: str | None


@dataclass(frozen=True, slots=True)
class Export:
    """An export that is complete and durable: the path really written, its manifest, and that one's path."""

    path: Path
    manifest: Manifest
    manifest_path: Path


def export(
    directory: Path,
    output: Path,
    *,
    clock: Clock,
    form: str = "jsonl",
    compress: bool | str = True,
    since: Moment | None = None,
    until: Moment | None = None,
    progress: Callable[[int], None] | None = None,
    unseal: bool = False,
) -> Export:
    """Write every record from `since` to `until`, both inclusive, in the order of the log.

    `jsonl` gives the log's own bytes: what is encrypted for a subject stays so, unless `unseal` asks for it.
    Every other format has it readable, as long as the subject is not erased.

    The path really written ends in `.gz` or `.zst` if and only if it is compressed so. Streams: memory does
    not grow with the log. An existing file of that name is replaced in one step, and only by a complete
    export. `progress` is called with the count so far. Blocks; run it in a thread.

    Raises:
        ExportRefused: the path is a link, a directory, or within the log; nothing was written.
        ValueError: there is no such format or compression, or a time is none.
        AuditCorrupt: a line of the log is no record and the format needs one; nothing was written.
        OSError: the disk refused; nothing was left behind.
    """
    within = span(since, until)
    if form == "parquet":
        if compress in {"gzip", "zstd"}:
            raise ValueError("Parquet is compressed in itself: leave the compression out")
        compress = False
    else:
        _shape(form)
    packed = compression(compress)
    path = real_path(output, packed)
    refuse_unsafe(path, directory)
    tally = Tally(progress)
    with OutFile(path, packed) as file:
        for piece in _made(directory, form, within, tally, unseal=unseal):
            file.write(piece)
    manifest = Manifest(
        file=path.name,
        format=form,
        compression=packed,
        count=tally.count,
        first=tally.first,
        last=tally.last,
        since=_spelled(within.since),
        until=_spelled(within.until),
        bytes=file.size_bytes,
        sha256=file.sha256,
        created=timestamp(clock.time()),
        checkpoint=_checkpoint(directory),
    )
    beside = path.with_name(path.name + MANIFEST_SUFFIX)
    with OutFile(beside, "none") as description:
        description.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return Export(path, manifest, beside)


def moment(value: Moment | None) -> bytes | None:
    """A point in time as a record's timestamp spells it; naive means local time.

    Raises:
        ValueError: the text is no ISO 8601 date or time.
    """
    if value is None:
        return None
    try:
        when = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(
            f"not a point in time: {value!r:.64}. Use ISO 8601: 2026-01-31T08:00:00+01:00"
        ) from None
    try:
        utc = when.astimezone(dt.UTC)
    except (OverflowError, ValueError):  # within a day of year 1 or 9999: no offset matters there
        utc = when.replace(tzinfo=dt.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0").encode()


def span(since: Moment | None, until: Moment | None) -> Span:
    """The range of time between two moments, both inclusive. Raises ValueError."""
    return Span(moment(since), moment(until))


def _made(directory: Path, form: str, within: Span, tally: "Tally", *, unseal: bool) -> Iterator[bytes]:
    if form != "parquet":
        return pieces(directory, form, within, tally, unseal=unseal)
    from tristar.audit.columnar import export_columns  # noqa: PLC0415 - it knows clerks, which know this

    return export_columns(directory, within, tally)


def pieces(
    directory: Path, form: str, within: Span, tally: "Tally", *, unseal: bool = False
) -> Iterator[bytes]:
    """The content of an export, in pieces of about a mebibyte; the tally counts the records that pass.

    What is encrypted for a subject is readable in every format but `jsonl`, and there where `unseal` asks.

    Raises:
        ValueError: there is no such format.
        AuditCorrupt: a line of the log is no record and the format needs one.
    """
    shape = _shape(form)
    with keyring_of(directory) as found:
        keyring = found if unseal or form != "jsonl" else None
        for chunk in tally.over(_selected(Snapshot.take(directory), within)):
            yield shape(unseal_lines(chunk, keyring))


class Tally:
    """Counts the lines that pass and keeps the first and the last."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self.count = 0
        self.first: Position | None = None
        self.last: Position | None = None
        self._progress = progress

    def tell(self, count: int) -> None:
        """So many have passed."""
        self.count = count
        if self._progress is not None:
            self._progress(count)

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks themselves, counted."""
        chunk = b""
        for chunk in chunks:
            if self.first is None:
                self.first = reader.position(chunk[: chunk.index(b"\n")])
            self.tell(self.count + chunk.count(b"\n"))
            yield chunk
        if chunk:
            self.last = reader.position(chunk[chunk.rfind(b"\n", 0, -1) + 1 :])


def _selected(snapshot: Snapshot, within: Span) -> Iterator[bytes]:
    """The lines within the range, in chunks that end with a newline."""
    if within.everything:
        yield from snapshot.chunks()
        return
    lines = snapshot.lines(within)
    while batch := b"".join(itertools.islice(lines, 512)):
        yield batch


def _shape(form: str) -> Callable[[bytes], bytes]:
    """How a chunk of the log becomes a chunk of the export."""
    if form == "jsonl":
        return lambda chunk: chunk
    render = formats.RENDERERS.get(form)
    if render is None:
        raise ValueError(f"unknown export format {form!r:.64}: use one of {', '.join(formats.NAMES)}")
    return lambda chunk: b"".join(
        [render(Fields.of(line)) + b"\n" for line in chunk.removesuffix(b"\n").split(b"\n")]
    )


def _spelled(stamp: bytes | None) -> str | None:
    return None if stamp is None else stamp.decode()


def _checkpoint(directory: Path) -> str | None:
    try:
        return (directory / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
