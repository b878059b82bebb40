"""Section 8: the snippet as it stands, at the root of the repository."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

from tests.gateway import Gateway
from tests.gateway.fixtures import StartGateway
from tests.guide.checkout import in_async_function, make_checkout, run_python
from tests.guide.page import GERMAN

DEFAULT_PLACES = {"AUDIT_LOG_DIR": "", "TRISTAR_DATA_DIR": ""}
"""Empty counts as unset: logs/audit and data in the working directory."""
FIRST_FIELDS = re.findall(r'"(\w+)":', GERMAN.blocks(8, "json")[0])

OWN_RECORD = """
from app.utils.audit_enhanced import enhanced_audit_logger
await enhanced_audit_logger.log("INFO", "order_placed", "/orders/1", {"stars": 3})
"""


def export(root: Path) -> list[dict[str, Any]]:
    """Run the guide's snippet; the records that it wrote."""
    run_python(in_async_function(GERMAN.blocks(8, "python")[0]), root)
    written = gzip.decompress((root / "export/audit_export.jsonl.gz").read_bytes())
    assert written == b"" or written.endswith(b"\n")
    return [json.loads(line) for line in written.splitlines()]


def started(gateway: StartGateway, root: Path) -> Gateway:
    """A gateway at that root with nothing set at all."""
    make_checkout(root)
    return gateway(name=root.name, env=DEFAULT_PLACES)


def chat(running: Gateway, path: str) -> str:
    """Ask `echo` on this path; the trace id."""
    answer = running.request(
        "POST", path, json={"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}
    )
    assert answer.status_code == 200
    return str(answer.headers["x-tristar-trace-id"])


def test_the_documented_first_fields_are_five() -> None:
    """The example line names them, in their order."""
    assert FIRST_FIELDS == ["timestamp", "trace_id", "action", "resource", "log_level"]


def test_the_snippet_exports_while_the_gateway_runs(gateway: StartGateway, tmp_path: Path) -> None:
    """On the same log, without disturbing it: the call of a moment ago is in the file."""
    root = tmp_path / "checkout"
    running = started(gateway, root)
    trace_ids = {path: chat(running, path) for path in ("/v1/chat", "/v1/chat/completions")}
    records = export(root)
    chat(running, "/v1/chat")
    calls = {record["resource"]: record for record in records if record["action"] == "llm_call"}

    assert {path: calls[path]["trace_id"] for path in trace_ids} == trace_ids
    assert {call["log_level"] for call in calls.values()} == {"INFO"}
    assert [list(record)[:5] for record in records] == [FIRST_FIELDS] * len(records)
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["timestamp"]) for record in records
    )


def test_the_snippet_exports_the_same_when_the_gateway_has_stopped(
    gateway: StartGateway, tmp_path: Path
) -> None:
    """Every record up to the stop, as it lies on disk."""
    root = tmp_path / "checkout"
    running = started(gateway, root)
    chat(running, "/v1/chat")
    assert running.stop() == 0

    records = export(root)
    on_disk = (root / "logs/audit/segments/00000000000000000000.jsonl").read_text().splitlines()

    assert records == [json.loads(line) for line in on_disk]
    assert [record["action"] for record in records] == ["service_started", "llm_call", "service_stopped"]


def test_what_a_script_records_while_the_gateway_runs_is_exported_with_the_rest(
    gateway: StartGateway, tmp_path: Path
) -> None:
    """One log, one order: the gateway writes what the script hands it."""
    root = tmp_path / "checkout"
    running = started(gateway, root)
    run_python(in_async_function(OWN_RECORD), root)
    chat(running, "/v1/chat")
    records = export(root)

    assert [record["action"] for record in records] == ["service_started", "order_placed", "llm_call"]
    assert [record["seq"] for record in records] == [0, 1, 2]


def test_the_snippet_exports_nothing_where_nothing_was_ever_recorded(tmp_path: Path) -> None:
    """A valid, empty file; and no audit directory is made by asking."""
    root = make_checkout(tmp_path)

    assert export(root) == []
    assert not (root / "logs").exists()
