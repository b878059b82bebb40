"""`tristar audit` on a log that nobody else writes: what it answers, and what it leaves in the log."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.cli.logs import AUDIT, DATA, content, enter, records, run, write

from tristar.audit.proof import Proof, check_proof
from tristar.audit.signing import PUBLIC_FILE, VerifierKey


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty directory."""
    enter(tmp_path, monkeypatch)


def segment() -> Path:
    """The one segment of the log."""
    (path,) = (AUDIT / "segments").glob("*.jsonl")
    return path


def alter(old: bytes, new: bytes) -> None:
    """Change the segment in place."""
    whole = segment().read_bytes()
    assert whole.count(old) == 1
    segment().write_bytes(whole.replace(old, new))


def test_verify_finds_a_good_log_good_and_writes_nothing() -> None:
    """Exit 0, the number of records, and every byte in the directory as it was."""
    write("order_seen", "order_placed")
    before = content()

    result = run("audit", "verify")

    assert result.exit_code == 0
    assert "2 records are accounted for" in result.stdout
    assert content() == before


def test_verify_says_what_it_could_not_notice() -> None:
    """Without a checkpoint kept elsewhere: an older copy, a holder of the key, a replaced public key."""
    write("order_seen")

    told = run("audit", "verify").stdout

    assert "an older copy of the whole log" in told
    assert "holds the signing key" in told
    assert "--public-key" in told


def test_verify_with_key_and_checkpoint_kept_elsewhere_has_nothing_to_add(tmp_path: Path) -> None:
    """What was said to be unnoticeable is then noticed, so it is not said."""
    write("order_seen")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "key").write_bytes((DATA / PUBLIC_FILE).read_bytes())
    (kept / "checkpoint").write_bytes((AUDIT / "checkpoint").read_bytes())
    write("order_placed")
    arguments = ("--public-key", str(kept / "key"), "--expect-checkpoint", str(kept / "checkpoint"))

    result = run("audit", "verify", *arguments)

    assert result.exit_code == 0
    assert "note:" not in result.stdout


def test_verify_names_file_and_record_on_standard_error() -> None:
    """Exit 1; standard output holds no fault for a script to mistake."""
    write("order_seen", "order_placed", "order_seen_again")
    alter(b"order_placed", b"order_p1aced")

    result = run("audit", "verify")

    assert result.exit_code == 1
    assert f"segments/{segment().name}: record 1: was altered" in result.stderr
    assert "was altered" not in result.stdout


def test_verify_prints_json_for_a_script() -> None:
    """Faults are data: file, record, last, problem."""
    write("order_seen", "order_placed")
    alter(b"order_placed", b"order_p1aced")

    result = run("audit", "verify", "--json")

    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"], answer["size"]) == (1, False, 2)
    assert answer["faults"] == [
        {"file": f"segments/{segment().name}", "record": 1, "last": None, "problem": "was altered"}
    ]


def test_an_older_copy_put_back_is_found_with_the_checkpoint_kept_elsewhere(tmp_path: Path) -> None:
    """The log by itself is whole, yet shorter than what was signed."""
    write("order_seen")
    shutil.copytree(AUDIT, "older")
    write("order_placed")
    kept = tmp_path / "kept"
    kept.write_bytes((AUDIT / "checkpoint").read_bytes())
    shutil.rmtree(AUDIT)
    shutil.move("older", AUDIT)

    alone, compared = run("audit", "verify"), run("audit", "verify", "--expect-checkpoint", str(kept))

    assert (alone.exit_code, compared.exit_code) == (0, 1)
    assert "checkpoint kept elsewhere" in compared.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("verify",),
        ("query",),
        ("tail",),
        ("prove", "0"),
        ("export", "--output", "x"),
        ("hold", "add", "case", "--reason", "r"),
        ("hold", "list"),
        ("keys", "rotate"),
        ("recover", "--accept-truncation", "--reason", "r"),
    ],
    ids=" ".join,
)
def test_the_wrong_directory_is_wrong_use_and_stays_as_it_is(command: tuple[str, ...]) -> None:
    """Exit 2, AUDIT_LOG_DIR named, and nothing made: no log that holds only its own reading."""
    result = run("audit", *command)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "AUDIT_LOG_DIR" in result.stderr
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("verify", "--public-key", "gone"), "gone"),
        (("verify", "--expect-checkpoint", "gone"), "gone"),
        (("verify", "--reconcile", "ftp://x"), "http://"),
        (("verify", "--reconcile", "http://127.0.0.1:1/metrics"), "127.0.0.1:1"),
        (("query", "--since", "yesterday"), "yesterday"),
        (("query", "--level", "LOUD"), "LOUD"),
        (("query", "--limit", "0"), "limit"),
        (("export", "--output", "x", "--format", "xml"), "xml"),
        (("export", "--output", "x", "--compress", "xz"), "xz"),
        (("export", "--output", "x", "--compress", "zstd", "--no-compress"), "--no-compress"),
        (("export", "--output", "logs/audit/x"), "own directory"),
        (("prove", "77"), "77"),
        (("hold", "add", "../x", "--reason", "r"), "../x"),
        (("hold", "release", "none", "--reason", "r"), "none"),
        (("recover", "--reason", "r"), "--accept-truncation"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_use_exits_2_and_names_what_is_wrong(arguments: tuple[str, ...], named: str) -> None:
    """On standard error, and the log is as it was."""
    write("order_seen")

    result = run("audit", *arguments)

    assert result.exit_code == 2
    assert named in result.stderr
    assert [record["action"] for record in records()] == ["order_seen"]


def test_query_prints_what_matches_newest_first_and_records_the_reading() -> None:
    """Tab-separated in a pipe; who asked for what stands in the log."""
    write("order_seen", "order_placed", "order_seen")

    result = run("audit", "query", "--action", "order_seen", "--user", "anna", "--since", "7d")

    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == ["2", "0"]
    read = records()[-1]
    assert read["action"] == "audit_read"
    assert read["user_id"].startswith("os:")
    assert read["details"]["filters"] == {"since": "7d", "action": "order_seen", "user_id": "anna"}


def test_query_prints_json_and_says_when_there_may_be_more() -> None:
    """Whole records under `data`; the remark goes to standard error."""
    write("order_seen", "order_placed")

    result = run("audit", "query", "--oldest-first", "--limit", "1", "--json")

    assert [record["action"] for record in json.loads(result.stdout)["data"]] == ["order_seen"]
    assert "--limit" in result.stderr


def test_what_clients_choose_cannot_command_the_terminal() -> None:
    """Control characters in a field are spelled out."""
    write("\x1b[2Jorder\tseen")

    printed = run("audit", "query").stdout

    assert "\x1b" not in printed
    assert "\\x1b[2Jorder\\tseen" in printed


def test_tail_prints_the_newest_oldest_of_them_first() -> None:
    """As JSON lines for a script; the reading is recorded."""
    write("a", "b", "c")

    printed = run("audit", "tail", "-n", "2", "--json").stdout

    assert [json.loads(line)["action"] for line in printed.splitlines()] == ["b", "c"]
    assert records()[-1]["action"] == "audit_read"


def test_tail_follows_what_is_appended_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing twice, nothing left out; an interrupt is the usual end."""
    write("a")
    turns = iter([("b", "c"), ("d",)])

    def sleep(_: float) -> None:
        following = next(turns, None)
        if following is None:
            raise KeyboardInterrupt
        write(*following)

    monkeypatch.setattr("tristar.cli.audit.time.sleep", sleep)
    result = run("audit", "tail", "-n", "1", "-f", "--json")
    actions = [json.loads(line)["action"] for line in result.stdout.splitlines()]

    assert (result.exit_code, actions) == (0, ["a", "audit_read", "b", "c", "d"])


def test_export_writes_the_log_and_records_what_left() -> None:
    """The log's own lines, the real path, and in the log the file's hash."""
    write("order_seen", "order_placed")

    result = run("audit", "export", "--output", "out/x.jsonl", "--json")

    answer = json.loads(result.stdout)
    exported = gzip.decompress(Path("out/x.jsonl.gz").read_bytes())
    assert answer["path"] == "out/x.jsonl.gz"
    assert [json.loads(line)["action"] for line in exported.splitlines()] == ["order_seen", "order_placed"]
    left = records()[-1]
    assert left["action"] == "audit_exported"
    assert left["details"]["sha256"] == answer["manifest"]["sha256"]


def test_export_in_another_format_without_compression() -> None:
    """The name stays as it was given."""
    write("order_seen")

    result = run("audit", "export", "--output", "x.cef", "--format", "cef", "--no-compress")

    assert "1 records in x.cef" in result.stdout
    assert Path("x.cef").read_text().startswith("CEF:")


def test_prove_gives_a_proof_that_the_public_key_alone_can_check() -> None:
    """What --json prints is all that a third party needs beside the key."""
    write("order_seen", "order_placed", "order_seen")

    result = run("audit", "prove", "1", "--json")

    proof = Proof.decode(result.stdout.encode())
    assert check_proof(proof, VerifierKey.load(DATA / PUBLIC_FILE)) == []
    assert "order_placed" in (proof.line or "")


def test_a_hold_is_placed_listed_and_released_on_record() -> None:
    """The order and its reason stand in the log each time."""
    write("order_seen")

    placed = run("audit", "hold", "add", "case-7", "--reason", "lawsuit", "--since", "2026-01-01T00:00:00Z")
    listed = json.loads(run("audit", "hold", "list", "--json").stdout)["data"]
    released = run("audit", "hold", "release", "case-7", "--reason", "settled")

    assert (placed.exit_code, released.exit_code) == (0, 0)
    assert [(held["name"], held["since"]) for held in listed] == [("case-7", "2026-01-01T00:00:00.000000Z")]
    assert run("audit", "hold", "list").stdout == ""
    orders = [record["details"]["order"] for record in records() if record["action"] == "audit_hold"]
    assert orders == ["add", "release"]


def test_a_rotated_key_verifies_with_the_old_public_key_too(tmp_path: Path) -> None:
    """Whoever keeps the first public key can verify for ever."""
    write("order_seen")
    old = tmp_path / "old.vkey"
    old.write_bytes((DATA / PUBLIC_FILE).read_bytes())

    result = run("audit", "keys", "rotate")

    assert result.exit_code == 0
    assert (DATA / PUBLIC_FILE).read_text().strip() in result.stdout
    assert old.read_bytes() != (DATA / PUBLIC_FILE).read_bytes()
    assert run("audit", "verify").exit_code == 0
    assert run("audit", "verify", "--public-key", str(old)).exit_code == 0


def test_a_broken_log_can_be_read_and_says_that_the_reading_is_not_recorded() -> None:
    """To mend it one must be able to look: the answer is given, with exit 1."""
    write("order_seen", "order_placed")
    alter(b"order_placed", b"order_p1aced")

    result = run("audit", "query", "--action", "order_seen")

    assert result.exit_code == 1
    assert "order_seen" in result.stdout
    assert "could not record" in result.stderr


def test_recover_gives_up_what_is_missing_on_record_and_the_log_can_be_used_again() -> None:
    """Verification passes and says what was given up; the record names operator and reason."""
    write("order_seen", "order_placed", "order_seen")
    alter(b"order_placed", b"order_p1aced")

    result = run("audit", "recover", "--accept-truncation", "--reason", "bad sector")

    assert (result.exit_code, "all told: 1" in result.stdout) == (0, True)
    verified = run("audit", "verify")
    assert verified.exit_code == 0
    assert "given up by an operator" in verified.stdout
    told = json.loads(run("audit", "query", "--action", "audit_recovered", "--json").stdout)["data"][0]
    assert told["details"]["reason"] == "bad sector"
    assert told["details"]["operator"].startswith("os:")


def test_recover_leaves_a_log_that_is_whole() -> None:
    """Nothing to give up is no error, and writes no record."""
    write("order_seen")

    result = run("audit", "recover", "--accept-truncation", "--reason", "nerves")

    assert result.exit_code == 0
    assert "nothing was given up" in result.stdout
    assert len(records()) == 1


def test_another_users_log_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that root left would stop the gateway's next start; verify reads alone and may."""
    write("order_seen")
    before = content()
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)

    result = run("audit", "query")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "belongs to" in result.stderr
    assert content() == before
    assert run("audit", "verify").exit_code == 0


def test_a_missing_signing_key_is_not_made_anew() -> None:
    """With the wrong TRISTAR_DATA_DIR a new key would sign a log that it cannot verify."""
    write("order_seen")
    (DATA / "audit-signing.key").unlink()

    result = run("audit", "query")

    assert result.exit_code == 1
    assert "TRISTAR_DATA_DIR" in result.stderr
    assert not (DATA / "audit-signing.key").exists()
