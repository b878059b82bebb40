"""The operations page: every command on it is run as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.audit import second_verifier
from tests.audit.bench import Bench
from tests.cli.logs import AUDIT, DATA, enter, records, run, write

from tristar.audit.verify import verify
from tristar.audit.writer import WriterOptions

PAGE = (Path(__file__).parents[2] / "docs" / "audit-operations.md").read_text(encoding="utf-8")
KEY, CHECKPOINT = DATA / "audit-signing.vkey", AUDIT / "checkpoint"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs beside a log of three records, its checkpoint and key kept in `safe`."""
    enter(tmp_path, monkeypatch)
    write("order_seen", "order_placed", "order_paid")
    keep()


def keep() -> None:
    """Keep key and checkpoint elsewhere."""
    Path("safe").mkdir(exist_ok=True)
    shutil.copy(CHECKPOINT, "safe/checkpoint")
    shutil.copy(KEY, "safe/audit-signing.vkey")


def blocks(heading: str) -> list[str]:
    """The commands under a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)

    assert found
    return found


def shell(commands: str) -> "subprocess.CompletedProcess[str]":
    """These commands, in bash, here; the first that fails ends them."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": path, "SAFE": str(Path("safe").absolute())},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def good(commands: str) -> str:
    """What the commands print, if all of them succeed."""
    done = shell(commands)

    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_restored_backup_is_an_announced_discontinuity_and_not_tampering() -> None:
    """Unannounced it is a fault; announced a note, for ever, to both verifiers and after more records."""
    good(blocks("Back up")[0])
    write("order_sent", "order_returned")
    keep()
    shutil.copytree("b/audit", "unannounced")
    os.environ["AUDIT_LOG_DIR"] = "unannounced"
    try:
        unannounced = run("audit", "verify", "--expect-checkpoint", "safe/checkpoint")
    finally:
        del os.environ["AUDIT_LOG_DIR"]

    told = good(blocks("Restore")[0])
    write(*(f"after_{number}" for number in range(9)))

    assert unannounced.exit_code == 1
    assert "were set back, as announced" in told
    (announced,) = [record for record in records() if record["details"].get("restored")]
    assert announced["action"] == "audit_recovered"
    assert announced["details"]["reason"] == "disk /dev/sdb lost, ticket 4711"
    again = run("audit", "verify", "--expect-checkpoint", "safe/checkpoint")
    assert again.exit_code == 0, again.output
    second_verifier.verify(AUDIT, KEY.read_text(), Path("safe/checkpoint").read_bytes())
    shutil.copy(CHECKPOINT, "safe/newer")
    assert "set back" not in run("audit", "verify", "--expect-checkpoint", "safe/newer").stderr


def test_a_restore_needs_a_checkpoint_that_the_log_is_behind() -> None:
    """What was never lost cannot be announced as lost; a stranger's checkpoint says nothing."""
    told = run("audit", "recover", "--restored", "safe/checkpoint", "--reason", "x")

    assert told.exit_code == 2
    assert "nothing was set back" in told.output


def test_a_lost_key_comes_from_the_backup_or_a_new_log_begins() -> None:
    """Both ways verify; without its key the old log stays as it is."""
    good(blocks("Back up")[0])
    restore, anew = blocks("Lost key")
    (DATA / "audit-signing.key").unlink()

    good(restore)
    good(anew)
    write("order_sent")
    assert run("audit", "verify").exit_code == 0


def test_after_a_theft_both_epochs_verify_with_the_first_public_key() -> None:
    """The old private key is off the machine; the new one goes on."""
    good(blocks("Stolen key")[0])
    write("order_sent")

    assert not list(DATA.glob("audit-signing.key.*"))
    assert run("audit", "verify", "--public-key", "safe/audit-signing.vkey").exit_code == 0
    assert KEY.read_text() != Path("safe/audit-signing.vkey").read_text()


def test_an_upgraded_log_contains_the_checkpoint_from_before() -> None:
    """The page's own order of steps."""
    before, after = blocks("Upgrade")[0].splitlines()
    good(before)
    write("order_sent")

    good(after)


def test_the_logs_of_many_replicas_are_verified_and_asked_together() -> None:
    """Two logs with keys of their own; a bad one is named."""
    for name in ("r1", "r2"):
        shutil.copytree(AUDIT, f"{name}/audit")
        shutil.copy(KEY, f"{name}/key.vkey")
        shutil.rmtree(AUDIT)
        shutil.rmtree(DATA)
        write("order_seen")
    commands = blocks("Many replicas")[0].replace("0af7651916cd43dd8448eb211c80319c", "trace-0")

    told = good(commands)
    segment = next(Path("r2/audit/segments").iterdir())
    segment.write_bytes(segment.read_bytes().replace(b"order_seen", b"order_lost"))
    spoilt = shell(commands)

    assert told.count("\tgood\t") == 2
    assert [line.count('"log":"r') for line in told.splitlines()[2:]] == [1, 1]
    assert spoilt.returncode == 1
    assert "r2/audit\tBAD" in spoilt.stdout


def test_a_clock_set_back_an_hour_changes_no_order(tmp_path: Path) -> None:
    """By index all is in order, verification holds, and retention waits for the newest timestamp."""
    bench = Bench(tmp_path / "bench")
    options = WriterOptions(max_segment_bytes=20_000, publish_s=0.05, reserve_bytes=4096)
    first = bench.write(100, options=options, prefix="before")
    bench.clock.step(-3600)
    second = bench.write(100, options=options, prefix="after")
    stamps = [str(record["timestamp"]) for record in bench.records()]

    assert bench.event_ids() == first + second
    assert [record["seq"] for record in bench.records()] == list(range(len(stamps)))
    assert stamps != sorted(stamps)
    assert verify(bench.directory, bench.signer.verifier, workers=1).ok
    second_verifier.verify(bench.directory, bench.signer.verifier.text)


def test_the_clock_page_runs() -> None:
    """Its commands end well."""
    assert "order_paid" in good(blocks("Clock")[0])


def test_retention_below_the_floor_ends_the_check() -> None:
    """The page's settings are good; one day less is refused with exit code 2."""
    commands = blocks("Retention and the law")[0]

    good(commands)
    less = shell(commands.replace("AUDIT_RETENTION_DAYS=184\n", "AUDIT_RETENTION_DAYS=183\n"))
    assert less.returncode == 2
    assert "AUDIT_MIN_RETENTION_DAYS = 184" in less.stderr


def test_an_access_request_is_answered_whole_and_recorded() -> None:
    """Every record about the person, and one more that says so."""
    good(blocks("Access request")[0])

    assert len(Path("answer.jsonl").read_text().splitlines()) == 3
    assert records()[-1]["details"]["command"] == "about"
