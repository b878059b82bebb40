"""A gateway as the kernel sees it: nothing is answered whose record is not on disk."""

import re
from pathlib import Path

from tests.audit.trials.calls import Call, read_calls
from tests.audit.trials.tracing import covered
from tests.gateway import document, llm, provider
from tests.gateway.fixtures import StartGateway
from tests.gateway.view import look
from tests.upstream import Upstream

_CALLS = "pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg"
_TRACE_ID = re.compile(rb'"trace_id":"([0-9a-f]{32})"')
_HEADER = re.compile(rb"x-tristar-trace-id: ([0-9a-f]{32})")


def _last_bytes(calls: list[Call]) -> dict[str, Call]:
    """Of each answer, by its trace id: the call that sent the end of it, the last on its connection."""
    sent = [call for call in calls if call.path.startswith(("socket:", "TCP:")) and call.strings]
    last = {call.path: call for call in sent}
    begun = {header[1].decode(): call.path for call in sent if (header := _header(call))}
    return {trace_id: last[path] for trace_id, path in begun.items()}


def _header(call: Call) -> re.Match[bytes] | None:
    return _HEADER.search(b"".join(call.strings))


def test_the_last_byte_leaves_after_line_and_checkpoint_were_synced(
    gateway: StartGateway, upstream: Upstream, tmp_path: Path
) -> None:
    """Strict, whole and streamed: the record's line, a sync, a checkpoint, a sync, the end of the answer."""
    trace = tmp_path / "trace"
    under = [
        "strace",
        "-D",
        "-f",
        "-q",
        "-y",
        "-xx",
        "-s",
        "100000",
        "-e",
        f"trace={_CALLS}",
        "-o",
        str(trace),
    ]
    toml = document(provider("p", upstream.base_url), llm("fast", "p"))
    traced = gateway(toml=toml, env={"AUDIT_MODE": "strict"}, under=under)
    views = [look(traced, "fast", stream=stream) for stream in (False, True) * 4]
    traced.stop()
    calls = read_calls(trace)
    lines = {
        found.decode(): call
        for call in calls
        if call.name == "pwrite64" and "/segments/" in call.path
        for found in _TRACE_ID.findall(call.strings[0])
    }
    ends = _last_bytes(calls)
    answered = [view.trace_id for view in views if view.complete and view.trace_id]

    assert len(answered) == 8
    assert [trace_id for trace_id in answered if trace_id not in ends] == []
    assert [
        trace_id for trace_id in answered if not covered(calls, lines.get(trace_id), ends[trace_id])
    ] == []
