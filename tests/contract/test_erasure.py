"""One person forgotten: at the command line and over HTTP, while the gateway runs and records about them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from tests.gateway import Gateway, document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.upstream import Upstream

ADMIN = {"authorization": "Bearer the-admin-key-of-these-tests"}
ENV = {"TRISTAR_ADMIN_KEY": "the-admin-key-of-these-tests", "AUDIT_ERASABLE": "true"}
ANNA, BERT = "anna-canary-4711", "bert-0815"


def talk(gateway: Gateway, user: str, *, stream: bool, by_header: bool = False) -> None:
    """A chat for this person, who says so."""
    told = [{"role": "user", "content": f"I am {user}, remember me"}]
    headers = ADMIN | {"x-session-id": f"session-of-{user}"}
    body: dict[str, object] = {"messages": told, "stream": stream}
    if by_header:
        gateway.chat("kept", headers=headers | {"x-user-id": user}, **body).raise_for_status()
    else:
        gateway.chat("kept", headers=headers, user=user, **body).raise_for_status()


def audit(gateway: Gateway, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`tristar audit …` beside the running gateway."""
    return subprocess.run(
        [sys.executable, "-m", "tristar", "audit", *arguments],
        cwd=gateway.folder,
        env=gateway._env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def on_disk(folder: Path) -> bytes:
    """Every byte of every file below, compressed ones also unpacked; SQLite's WAL included."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # an incomplete tile, outgrown meanwhile
            continue
        found.append(content)
        if path.suffix == ".zst":
            found.append(zstandard.ZstdDecompressor().stream_reader(content).read())
    return b"\0".join(found)


@pytest.fixture
def running(gateway: StartGateway, upstream: Upstream) -> Gateway:
    """A gateway with two workers that keeps every word, and what two persons said."""
    toml = document(provider("p", upstream.base_url), llm("kept", "p", prompts="full"))
    started = gateway(toml=toml, env=ENV, workers=2)
    for user in (ANNA, BERT):
        talk(started, user, stream=False)
        talk(started, user, stream=True, by_header=True)
    return started


def key_of(folder: Path, position: int) -> bytes:
    """A subject's key as it lies in the keyring."""
    raw = (folder / "subjects.keys").read_bytes()
    return raw[64 * (position + 1) + 24 : 64 * (position + 1) + 56]


def test_an_erased_person_is_in_no_byte_on_disk_and_the_log_verifies(running: Gateway) -> None:
    """The name, the words, the session and the key; the other person is still read, also by a new start."""
    assert audit(running, "about", ANNA).stdout.count("llm_call") == 2
    keys = [key_of(running.audit_folder, at) for at in range(2)]

    erased = audit(running, "erase", ANNA, "--reason", "ticket 4711")
    talk(running, BERT, stream=False)
    left = on_disk(running.folder)

    assert erased.returncode == 0, erased.stderr
    assert "backups of subjects.keys" in erased.stdout
    assert ANNA.encode() not in left
    assert sum(key in left for key in keys) == 1
    assert audit(running, "about", ANNA).stdout == ""
    assert f"I am {BERT}" in audit(running, "about", BERT, "--json").stdout
    assert audit(running, "verify").returncode == 0
    (record,) = [each for each in running.records() if each.action == "audit_erasure"]
    assert record.details["records"] == 3
    running.stop()
    assert ANNA.encode() not in on_disk(running.folder)
    assert audit(running, "verify").returncode == 0


def test_erasure_over_http_needs_its_scope_a_subject_and_no_hold(running: Gateway) -> None:
    """403, 404, 409; then a receipt. What is said afterwards is under a new key."""
    made = running.request("POST", "/admin/keys", headers=ADMIN, json={"name": "n", "scopes": ["admin"]})
    weak = {"authorization": f"Bearer {made.json()['key']}"}
    order = {"subject": ANNA, "reason": "ticket 4711"}

    def ask(headers: dict[str, str], body: dict[str, str]) -> int:
        return running.request("POST", "/admin/audit/erase", headers=headers, json=body).status_code

    assert ask(weak, order) == 403
    assert ask(ADMIN, {**order, "subject": "nobody"}) == 404
    assert audit(running, "hold", "add", "case-7", "--reason", "court").returncode == 0
    assert ask(ADMIN, order) == 409
    assert audit(running, "erase", ANNA, "--reason", "t").returncode == 1
    assert f"I am {ANNA}" in audit(running, "about", ANNA, "--json").stdout
    assert audit(running, "hold", "release", "case-7", "--reason", "settled").returncode == 0

    receipt = running.request("POST", "/admin/audit/erase", headers=ADMIN, json=order)

    assert receipt.status_code == 200, receipt.text
    assert receipt.json()["records"] >= 2
    assert ANNA.encode() not in on_disk(running.folder)
    talk(running, ANNA, stream=False)
    assert audit(running, "about", ANNA).stdout.count("llm_call") == 1


def remember(gateway: Gateway, content: str, user: str, **fields: object) -> str:
    """An entry written on behalf of this person; its id."""
    made = gateway.request(
        "POST", "/v1/memory", headers=ADMIN | {"x-user-id": user}, json={"content": content, **fields}
    )
    assert made.status_code == 201, made.text
    entry_id: str = made.json()["id"]
    return entry_id


def test_the_memory_forgets_with_the_log(running: Gateway) -> None:
    """What was written for a person, and what others wrote about them; by command and over HTTP."""
    own = remember(running, "canary-own-words", ANNA)
    change = {"content": "canary-corrected"}
    running.request("PATCH", f"/v1/memory/{own}", headers=ADMIN, json=change).raise_for_status()
    remember(running, "canary-told-by-bert", BERT, subject=ANNA)
    kept = remember(running, "bert's own", BERT)
    told = audit(running, "about", ANNA, "--json").stdout

    erased = audit(running, "erase", ANNA, "--reason", "ticket 4711", "--json")
    left = on_disk(running.folder)
    listed = running.request("GET", "/v1/memory", headers=ADMIN).json()["data"]
    again = running.request(
        "POST", "/admin/audit/erase", headers=ADMIN, json={"subject": BERT, "reason": "ticket 4712"}
    )

    assert "canary-corrected" in told
    assert json.loads(erased.stdout)["memory_entries"] == 2
    assert b"canary-" not in left.replace(ANNA.encode(), b"")
    assert ANNA.encode() not in left
    assert [(each["id"], each["subject"]) for each in listed] == [(kept, BERT)]
    assert again.json()["memory_entries"] == 1
    assert running.request("GET", "/v1/memory", headers=ADMIN).json()["data"] == []
    assert running.scrape().value("ailinux_memory_entries_total") == 0
    recorded = [
        each.details["memory_entries"] for each in running.records() if each.action == "audit_erasure"
    ]
    assert recorded == [2, 1]


def test_query_tail_and_export_read_what_is_sealed(running: Gateway, tmp_path: Path) -> None:
    """`jsonl` keeps the log's own bytes unless it is asked to unseal."""
    outputs = {}
    for name, more in {"jsonl": (), "unsealed": ("--unseal",), "ecs": ("--format", "ecs")}.items():
        path = tmp_path / name
        done = audit(running, "export", "--output", str(path), "--no-compress", *more)
        assert done.returncode == 0, done.stderr
        outputs[name] = path.read_text()

    assert f"I am {ANNA}" in audit(running, "query", "--action", "llm_call", "--json").stdout
    assert f"I am {ANNA}" in audit(running, "tail", "--json").stdout
    assert f"I am {ANNA}" in outputs["unsealed"]
    assert ANNA in outputs["ecs"]
    assert ANNA not in outputs["jsonl"]


def test_records_in_plain_text_are_named_not_promised(gateway: StartGateway, upstream: Upstream) -> None:
    """What was recorded before AUDIT_ERASABLE was set cannot be erased: exit 1, and how many there are."""
    toml = document(provider("p", upstream.base_url), llm("kept", "p"))
    plain = gateway(toml=toml, env={"TRISTAR_ADMIN_KEY": ENV["TRISTAR_ADMIN_KEY"]})
    talk(plain, ANNA, stream=False)

    erased = audit(plain, "erase", ANNA, "--reason", "ticket 4711")

    assert erased.returncode == 1
    assert "1 records were made while AUDIT_ERASABLE was off" in erased.stderr
    assert audit(plain, "about", ANNA, "--json").stdout.count('"end_user"') == 1
