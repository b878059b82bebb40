"""`/admin/audit` of a running gateway: read, asked, exported, verified, held, and all of it recorded."""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gateway import Gateway, Record, assert_books_balance, document, llm, provider
from tests.gateway.house import watched
from tests.prometheus.station import until
from tests.upstream import Upstream

from tristar.audit.proof import Proof, check_proof
from tristar.audit.signing import PUBLIC_FILE, VerifierKey

ADMIN = {"authorization": "Bearer an-admin-key-for-tests"}
CALLS = 12


@contextmanager
def running(folder: Path, workers: int, mode: str) -> Iterator[Gateway]:
    """A gateway that has served some calls, and whose access is closed."""
    with Upstream() as upstream:
        gateway = Gateway(
            folder,
            toml=document(provider("p", upstream.base_url), llm("fast", "p")),
            env={"TRISTAR_ADMIN_KEY": "an-admin-key-for-tests", "AUDIT_MODE": mode},
            workers=workers,
        )
        with watched(gateway):
            gateway.start()
            for number in range(CALLS):
                trace = f"00-{number + 1:032x}-{1:016x}-01"
                gateway.chat("fast", headers={**ADMIN, "traceparent": trace})
            yield gateway


@pytest.fixture(scope="module", params=[(1, "relaxed"), (2, "strict")], ids=["1-relaxed", "2-strict"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all tests of this module, in one process and through workers."""
    with running(tmp_path_factory.mktemp("served"), *request.param) as gateway:
        yield gateway


def get(gateway: Gateway, path: str, **params: object) -> Any:  # noqa: ANN401 - a JSON value
    """What the route answers, as JSON."""
    answer = gateway.request("GET", f"/admin/audit{path}", headers=ADMIN, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def key(gateway: Gateway, *scopes: str) -> dict[str, str]:
    """A key with these scopes, as a header."""
    body = {"name": "k", "scopes": list(scopes)}
    made = gateway.request("POST", "/admin/keys", headers=ADMIN, json=body)
    return {"authorization": f"Bearer {made.json()['key']}"}


def last(gateway: Gateway, action: str, **details: object) -> Record:
    """The newest record of this action with these details; in relaxed mode it may come a moment later."""
    deadline = time.monotonic() + 5
    while True:
        found = [record for record in gateway.records() if record.action == action]
        if found and details.items() <= found[-1].details.items():
            return found[-1]
        assert time.monotonic() < deadline, f"{action} with {details}: {found[-1:]}"
        time.sleep(0.02)


def two_of(gateway: Gateway, action: str) -> list[Record]:
    """Every record of this action, once there are two of them."""
    found = [record for record in gateway.records() if record.action == action]
    return found if len(found) >= 2 else []


def test_records_are_listed_and_the_reading_is_recorded(served: Gateway) -> None:
    """The very records of the log, newest first; who read, and what for, stands in the log at once."""
    found = get(served, "", trace_id=f"{3:032x}", action="llm_call")["data"]
    on_disk = [record.fields for record in served.records() if record["trace_id"] == f"{3:032x}"]
    read = last(served, "audit_read", records=1)

    assert found == on_disk
    assert len(found) == 1
    assert read.details == {"filters": {"trace_id": f"{3:032x}", "action": "llm_call"}, "records": 1}
    assert read["user_id"] == "bootstrap"


def test_a_text_finds_records_and_does_not_stand_in_the_log(served: Gateway) -> None:
    """It may name a person; that a text was asked for is recorded, which one is not."""
    found = get(served, "", text=f"{4:032X}")["data"]
    read = last(served, "audit_read", records=len(found), filters={"text": "(a text)"})

    assert {record["trace_id"] for record in found} == {f"{4:032x}"}
    assert read.details["filters"] == {"text": "(a text)"}


def test_the_public_key_is_the_one_of_its_file(served: Gateway) -> None:
    """What a proof is checked with in a browser."""
    kept = (served.data_folder / "audit-signing.vkey").read_text().strip()

    assert get(served, "/public-key") == {"public_key": kept}


def test_pages_follow_each_other_without_gap_or_double(served: Gateway) -> None:
    """By `next_cursor`, in both orders, though the log grows with every page that is read."""
    for order in ("newest", "oldest"):
        seen: list[int] = []
        cursor: dict[str, object] = {}
        while True:
            page = get(served, "", action="llm_call", order=order, limit=5, **cursor)
            seen += [record["seq"] for record in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}

        assert len(seen) == CALLS
        assert seen == sorted(seen, reverse=order == "newest")


def test_sql_is_answered_for_admins_and_recorded_with_its_text(served: Gateway) -> None:
    """Over the active segment too; what is no SELECT over `audit` is 400 and says why."""
    sql = "SELECT action, count(*) AS n FROM audit WHERE action = 'llm_call' GROUP BY action"
    answer = served.request("POST", "/admin/audit/query", headers=ADMIN, json={"sql": sql})
    refused = [
        served.request("POST", "/admin/audit/query", headers=ADMIN, json={"sql": text})
        for text in ("COPY audit TO '/tmp/x'", "SELECT * FROM read_text('/etc/passwd')", "SELEC")
    ]

    assert answer.json() == {
        "columns": [{"name": "action", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}],
        "data": [["llm_call", CALLS]],
        "truncated": False,
    }
    assert last(served, "audit_read", rows=1).details == {"sql": sql, "rows": 1}
    assert [each.status_code for each in refused] == [400] * 3
    assert {each.json()["error"]["param"] for each in refused} == {"sql"}


def test_an_export_is_streamed_whole_and_recorded(served: Gateway) -> None:
    """The log's own bytes; the record tells count, range and SHA-256 of what went out."""
    answer = served.request("GET", "/admin/audit/export?compress=gzip", headers=ADMIN)
    lines = gzip.decompress(answer.content).splitlines()
    exported = last(served, "audit_exported", compression="gzip").details

    assert answer.headers["content-disposition"] == 'attachment; filename="audit.jsonl.gz"'
    assert lines == [record.line for record in served.records()][: len(lines)]
    assert exported["count"] == len(lines)
    assert (exported["first"], exported["last"]) == (0, len(lines) - 1)
    assert exported["sha256"] == hashlib.sha256(answer.content).hexdigest()


def test_every_format_can_be_exported(served: Gateway) -> None:
    """As at the command line; an unknown one, a bad time and a packed Parquet are 400."""
    for form, begins in {"ecs": b"{", "cef": b"CEF:", "parquet": b"PAR1"}.items():
        answer = served.request("GET", f"/admin/audit/export?format={form}", headers=ADMIN)
        assert answer.content.startswith(begins)
    for query in ("format=xml", "since=yesterday", "format=parquet&compress=gzip"):
        answer = served.request("GET", f"/admin/audit/export?{query}", headers=ADMIN)
        assert answer.status_code == 400, query


def test_verification_is_answered_followed_and_recorded(served: Gateway) -> None:
    """The report; with progress, in JSON lines that end in the report."""
    whole = served.request("POST", "/admin/audit/verify", headers=ADMIN, json={})
    followed = served.request("POST", "/admin/audit/verify", headers=ADMIN, json={"progress": True})
    told = [json.loads(line) for line in followed.text.splitlines()]
    verified = until(lambda: two_of(served, "audit_verified"))

    assert whole.json()["ok"], whole.text
    assert whole.json()["faults"] == []
    assert served.scrape().value("ailinux_audit_verify_ok") == 1
    assert told[-1]["report"]["ok"]
    assert all(line["progress"]["done"] <= line["progress"]["total"] for line in told[:-1])
    assert [record.details["ok"] for record in verified] == [True, True]
    assert verified[0].details["size"] == whole.json()["size"]


def test_a_checkpoint_of_another_log_is_found_out(served: Gateway) -> None:
    """`expect_checkpoint` names what is wrong, and the record is CRITICAL."""
    body = {"expect_checkpoint": "not a checkpoint"}
    report = served.request("POST", "/admin/audit/verify", headers=ADMIN, json=body).json()
    recorded = last(served, "audit_verified", ok=False)

    assert not report["ok"]
    assert recorded["log_level"] == "CRITICAL"
    assert recorded.details["faults"] == len(report["faults"]) >= 1


def test_a_record_is_proved_to_whoever_has_the_public_key(served: Gateway) -> None:
    """The proof holds, its line is the record; a number that is not there is 404."""
    proof = served.request("GET", "/admin/audit/records/2/proof", headers=ADMIN)
    public = VerifierKey.load(served.folder / "data" / PUBLIC_FILE)

    assert check_proof(Proof.decode(proof.content), public) == []
    assert proof.json()["line"].encode() == served.records()[2].line
    assert last(served, "audit_read", proof_of=2).details == {"proof_of": 2}
    assert served.request("GET", "/admin/audit/records/99999/proof", headers=ADMIN).status_code == 404


def test_holds_are_placed_listed_and_released_by_those_who_may(served: Gateway) -> None:
    """Each order stands in the log with its reason; releasing what is not there is 404."""
    path = "/admin/audit/holds/case-7"
    placed = served.request(
        "PUT", path, headers=ADMIN, json={"reason": "a court", "since": "2026-01-01T00:00Z"}
    )
    listed = get(served, "/holds")["data"]
    released = served.request("DELETE", f"{path}?reason=settled", headers=ADMIN)
    again = served.request("DELETE", f"{path}?reason=settled", headers=ADMIN)
    last(served, "audit_hold", order="release")
    orders = [record for record in served.records() if record.action == "audit_hold"]

    assert placed.status_code == 200
    assert listed == [placed.json()]
    assert placed.json()["since"] == "2026-01-01T00:00:00.000000Z"
    assert (released.status_code, again.status_code) == (204, 404)
    assert [(record.details["order"], record.details["reason"]) for record in orders] == [
        ("add", "a court"),
        ("release", "settled"),
    ]
    assert get(served, "/holds")["data"] == []


def test_nobody_reads_without_a_key_or_the_scope(served: Gateway) -> None:
    """401 without a key; 403 with another scope; `audit:read` reads, but asks no SQL and holds nothing."""
    reader, chatter = key(served, "audit:read"), key(served, "chat")
    routes = [
        ("GET", "", None),
        ("POST", "/query", {"sql": "SELECT 1"}),
        ("GET", "/export", None),
        ("POST", "/verify", {}),
        ("GET", "/records/0/proof", None),
        ("GET", "/holds", None),
        ("PUT", "/holds/x", {"reason": "r"}),
        ("DELETE", "/holds/x?reason=r", None),
    ]

    def statuses(headers: dict[str, str]) -> list[int]:
        return [
            served.request(method, f"/admin/audit{path}", headers=headers, json=body).status_code
            for method, path, body in routes
        ]

    assert statuses({}) == [401] * len(routes)
    assert statuses(chatter) == [403] * len(routes)
    assert statuses(reader) == [200, 403, 200, 200, 200, 200, 403, 403]


def test_the_books_balance_after_all_that(served: Gateway) -> None:
    """Each of these requests has its one terminal record beside what it recorded."""
    assert_books_balance(served)
