"""Checkpoints that are put out of reach, when, and what a verification makes of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.audit.anchors.authority import stamping
from tests.audit.bench import START_S, Bench
from tests.audit.sinks.papers import Authority
from tests.audit.sinks.rig import NoJitter, wait
from tests.audit.sinks.rsyslog import Rsyslog
from tests.audit.sinks.website import Website, serving

from tristar.audit.anchors import evidence as reading
from tristar.audit.anchors.anchor import Checkpoint, keep
from tristar.audit.anchors.evidence import gather
from tristar.audit.anchors.options import AnchorOptions
from tristar.audit.anchors.syslog import SyslogAnchor
from tristar.audit.anchors.watch import AnchorWatch
from tristar.audit.disk import Disk
from tristar.audit.sinks.receiver import SinkDown
from tristar.audit.verify import Report, verify
from tristar.clock import ManualClock


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A log with some records."""
    bench = Bench(tmp_path / "log")
    bench.write(30)
    return bench


@pytest.fixture
def mount(tmp_path: Path) -> AnchorOptions:
    """An anchor in a directory elsewhere, every hour."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    return AnchorOptions(name="mount", type="file", path=elsewhere)


class Told(list[tuple[str, str]]):
    """What an anchor said of itself."""

    def __call__(self, name: str, reason: str) -> None:
        """See `Told` of the sinks."""
        self.append((name, reason))


def _watch(bench: Bench, options: AnchorOptions, told: Told | None = None) -> AnchorWatch:
    heard = Told() if told is None else told
    return AnchorWatch(options, bench.directory, clock=bench.clock, random=NoJitter(), told=heard)


def _names(options: AnchorOptions) -> list[str]:
    assert options.path is not None
    return sorted(path.name for path in options.path.iterdir())


def _verified(bench: Bench, *anchors: AnchorOptions) -> Report:
    """What the command line does."""
    evidence = gather(anchors, bench.directory, bench.signer.name)
    report = verify(bench.directory, bench.signer.verifier, anchored=evidence.checkpoints, workers=1)
    report.faults += evidence.faults
    report.notices += evidence.notices
    return report


# --- when


def test_a_log_that_has_grown_is_anchored_once_per_interval(bench: Bench, mount: AnchorOptions) -> None:
    """At the start, then not before the interval is over, and never twice without a new record."""
    watch = _watch(bench, mount)
    watch.look()
    bench.write(10, prefix="more")
    watch.look()
    early = _names(mount)
    bench.clock.advance(3600)
    watch.look()
    bench.clock.advance(3600)
    watch.look()

    assert [name[:20] for name in early] == [f"{30:020d}"]
    assert [name[:20] for name in _names(mount)] == [f"{30:020d}", f"{40:020d}"]
    assert (bench.directory / "checkpoint").read_bytes() == (mount.path / _names(mount)[1]).read_bytes()  # type: ignore[operator]  # it has a path


def test_a_restart_does_not_begin_the_interval_anew(bench: Bench, mount: AnchorOptions) -> None:
    """What is left of it is waited for, however often the gateway is started."""
    _watch(bench, mount).look()
    bench.write(10, prefix="more")
    bench.clock.advance(1800)
    _watch(bench, mount).look()
    early = len(_names(mount))
    second = _watch(bench, mount)
    bench.clock.advance(1801)
    second.look()

    assert (early, len(_names(mount))) == (1, 2)


def test_a_clock_that_stepped_back_postpones_nothing_for_long(bench: Bench, mount: AnchorOptions) -> None:
    """One interval at the most."""
    _watch(bench, mount).look()
    bench.write(10, prefix="more")
    bench.clock.step(-1_000_000)
    watch = _watch(bench, mount)
    bench.clock.advance(3601)
    watch.look()

    assert len(_names(mount)) == 2


def test_lateness_counts_from_the_end_of_the_interval(bench: Bench, mount: AnchorOptions) -> None:
    """And only while there is something to anchor; two failures are told, and that it works again."""
    told = Told()
    watch = _watch(bench, mount, told)
    watch.look()
    assert mount.path is not None
    away = mount.path.rename(mount.path.with_name("away"))
    bench.clock.advance(7200)
    idle = watch.reading()
    bench.write(10, prefix="more")
    watch.look()
    bench.clock.advance(100)
    watch.look()
    late = watch.reading()
    away.rename(mount.path)
    bench.clock.advance(300)
    watch.look()

    assert (idle.size, idle.overdue_s) == (30, 0)
    assert late.overdue_s == pytest.approx(3700)
    assert late.reason == f"{mount.path}: no such directory: make it, or mount it"
    assert (watch.reading().size, watch.reading().overdue_s, watch.reading().reason) == (40, 0, "")
    assert [(name, bool(reason)) for name, reason in told] == [("mount", True), ("mount", False)]


def test_it_runs_by_itself_beside_a_log_that_is_being_written(tmp_path: Path, mount: AnchorOptions) -> None:
    """On its own thread, from the first published checkpoint on."""
    bench = Bench(tmp_path / "live")
    watch = AnchorWatch(
        mount, bench.directory, clock=bench.clock, random=NoJitter(), told=Told(), look_s=0.02
    )
    watch.start()
    bench.write(5)
    assert wait(lambda: watch.reading().size > 0)
    watch.halt()
    watch.join(10)

    assert _names(mount)


# --- where


def test_a_checkpoint_is_never_written_over(tmp_path: Path) -> None:
    """Again with the same content is well; another content is refused, and the first one stays."""
    path = tmp_path / "a.checkpoint"
    keep(Disk(), path, b"one")
    keep(Disk(), path, b"one")
    with pytest.raises(SinkDown, match="another content"):
        keep(Disk(), path, b"two")

    assert path.read_bytes() == b"one"


def test_a_checkpoint_goes_out_by_syslog(bench: Bench, tmp_path: Path) -> None:
    """Whole, in one message, acknowledged as records are."""
    authority = Authority(tmp_path / "papers")
    checkpoint = Checkpoint.parse((bench.directory / "checkpoint").read_bytes())
    with Rsyslog(tmp_path / "r", authority, authority.issue("server")) as server:
        options = AnchorOptions(
            name="s", type="syslog", address=("localhost", server.port), ca_file=authority.cert
        )
        SyslogAnchor(options).put(checkpoint)
        assert wait(server.messages)
        (message,) = server.messages()

    head, _, text = message.partition(b"\xef\xbb\xbf")
    assert json.loads(text)["checkpoint"].encode() == checkpoint.raw
    assert b'audit_checkpoint [tristar@32473 origin="tristar-audit/test/00000001" size="30"]' in head


def test_a_time_stamp_is_kept_beside_its_checkpoint(bench: Bench, tmp_path: Path) -> None:
    """In the log's own directory unless told otherwise; verification checks it and says when it was."""
    authority = Authority(tmp_path / "papers")
    with stamping(tmp_path / "tsa", authority) as site:
        options = AnchorOptions(name="tsa", type="timestamp", url=site.url, tsa_ca_file=authority.cert)
        _watch(bench, options).look()
        kept = sorted((bench.directory / "anchors" / "tsa").iterdir())
        report = _verified(bench, options)
        bare = verify(bench.directory, bench.signer.verifier, workers=1)

    assert [path.suffix for path in kept] == [".checkpoint", ".tsr"]
    assert report.ok
    assert bare.ok
    assert any("1 checkpoints, the newest of 30 records, stamped at 2" in notice for notice in report.notices)


def test_an_authority_that_proves_nothing_is_not_believed(bench: Bench, tmp_path: Path) -> None:
    """Nothing is kept of an answer that does not hold; the reason is named."""
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b", "stranger")
    with stamping(tmp_path / "tsa", authority) as site:
        options = AnchorOptions(name="tsa", type="timestamp", url=site.url, tsa_ca_file=stranger.cert)
        watch = _watch(bench, options)
        watch.look()
        bench.clock.advance(300)
        watch.look()
        reason = watch.reading().reason
    with serving(Website(lambda _: (200, b"hello", {}))) as site:
        other = _watch(bench, replace(options, url=site.url))
        other.look()
        bench.clock.advance(300)
        other.look()

    assert reason.startswith("the time stamp proves nothing: its signer is not vouched for")
    assert other.reading().reason.startswith("the time stamp proves nothing: it is no time stamp")
    assert list((bench.directory / "anchors" / "tsa").iterdir()) == []


# --- what it is worth


def test_an_older_copy_of_the_log_put_back_is_found_by_its_anchor(bench: Bench, mount: AnchorOptions) -> None:
    """By the log itself it could not be told; the anchor says so, by name."""
    shutil.copytree(bench.directory, bench.root / "copy")
    bench.write(10, prefix="more")
    _watch(bench, mount).look()
    good = _verified(bench, mount)
    shutil.rmtree(bench.directory)
    (bench.root / "copy").rename(bench.directory)
    alone, anchored = verify(bench.directory, bench.signer.verifier, workers=1), _verified(bench, mount)

    assert good.ok
    assert alone.ok
    assert [str(fault) for fault in anchored.faults] == [
        f"anchor mount, {_names(mount)[0]}: covers 40 records, the log ends at 30: it was put back"
    ]


def test_a_log_written_anew_by_a_holder_of_the_key_is_found(bench: Bench, mount: AnchorOptions) -> None:
    """As long as before, signed with the same key: only an anchor tells."""
    _watch(bench, mount).look()
    shutil.rmtree(bench.directory)
    bench.write(40, prefix="forged")
    alone, anchored = verify(bench.directory, bench.signer.verifier, workers=1), _verified(bench, mount)

    assert alone.ok
    assert [fault.problem for fault in anchored.faults] == [
        "its root is not that of the log's first 30 records"
    ]


def test_a_log_without_anchors_says_so(bench: Bench) -> None:
    """Whoever reads the report knows what it cannot show."""
    report = _verified(bench)

    assert any(notice.startswith("no anchor is configured") for notice in report.notices)


def test_what_an_anchor_cannot_show_is_said(bench: Bench, mount: AnchorOptions) -> None:
    """An empty or missing directory, a torn file, another log's checkpoint, a syslog receiver."""
    assert mount.path is not None
    empty = gather([mount], bench.directory, bench.signer.name)
    gone = gather([replace(mount, path=mount.path / "gone")], bench.directory, bench.signer.name)
    (mount.path / "00.checkpoint").write_bytes(b"torn")
    torn = gather([mount], bench.directory, bench.signer.name)
    _watch(bench, mount).look()
    foreign = gather([mount], bench.directory, "another/log")
    distant = gather([AnchorOptions(name="s", type="syslog")], bench.directory, bench.signer.name)

    assert "holds no checkpoint of this log" in empty.notices[0]
    assert "holds no checkpoint of this log" in gone.notices[0]
    assert "00.checkpoint is no checkpoint" in torn.notices[0]
    assert foreign.checkpoints == []
    assert "--expect-checkpoint" in distant.notices[0]


def test_stamps_that_were_removed_or_altered_are_faults(bench: Bench, tmp_path: Path) -> None:
    """A checkpoint without its time stamp proves no time."""
    authority = Authority(tmp_path / "papers")
    with stamping(tmp_path / "tsa", authority) as site:
        options = AnchorOptions(name="tsa", type="timestamp", url=site.url, tsa_ca_file=authority.cert)
        _watch(bench, options).look()
    (stamp,) = (bench.directory / "anchors" / "tsa").glob("*.tsr")
    content = bytearray(stamp.read_bytes())
    content[-5] ^= 1
    stamp.write_bytes(bytes(content))
    altered = _verified(bench, options)
    stamp.unlink()
    removed = _verified(bench, options)

    assert [fault.problem for fault in altered.faults] == ["its signature is wrong"]
    assert [fault.problem for fault in removed.faults] == ["is missing"]


def test_of_very_many_checkpoints_some_are_compared(
    bench: Bench, mount: AnchorOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest and the oldest among them, so that a verification does not take ever longer."""
    monkeypatch.setattr(reading, "MOST", 3)
    for turn in range(6):
        _watch(bench, mount).look()
        bench.clock.advance(3600)
        bench.write(1, prefix=f"turn{turn}")
    compared = gather([mount], bench.directory, bench.signer.name).checkpoints
    names = [name.removeprefix("anchor mount, ") for name, _ in compared]

    assert len(names) == 3
    assert (names[0], names[-1]) == (_names(mount)[0], _names(mount)[-1])


def test_the_time_of_an_anchoring_is_the_clocks(bench: Bench, mount: AnchorOptions) -> None:
    """The state beside the log says how far and when."""
    _watch(bench, mount).look()
    state = json.loads((bench.directory / "anchors" / "mount.json").read_bytes())

    assert state == {"size": 30, "at_s": START_S}
    assert isinstance(bench.clock, ManualClock)
