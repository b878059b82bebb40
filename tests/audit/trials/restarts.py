"""A real rsyslog with TLS that is stopped and killed again and again while records go to it."""

import re
import signal
from dataclasses import replace
from pathlib import Path

from tests.audit.sinks.papers import Authority
from tests.audit.sinks.rig import OPTIONS, Rig, open_rig, wait
from tests.audit.sinks.rsyslog import Rsyslog
from tests.audit.trials.outcome import Outcome

_WHOLE = re.compile(
    rb'<110>1 \S+ \S+ \S+ \S+ \S+ \[tristar@32473 [^\]]*seq="(\d+)"[^\]]*\] \xef\xbb\xbf\{.*\}'
)


def restarts(folder: Path, times: int, records: int = 100) -> Outcome:
    """Every other time it is killed; what arrived must be every record, for the first time in order."""
    outcome = Outcome()
    authority = Authority(folder / "papers")
    with (
        open_rig(folder / "log") as rig,
        Rsyslog(folder / "r", authority, authority.issue("server")) as server,
    ):
        options = replace(OPTIONS, type="syslog", address=("localhost", server.port), ca_file=authority.cert)
        with rig.pumping(options=options) as pump:
            for turn in range(times):
                rig.append(records, prefix=f"t{turn}-")
                server.restart(signal.SIGKILL if turn % 2 else signal.SIGTERM)
                outcome.count("restarts")
            outcome.require(wait(rig.delivered, 120), f"not everything was delivered: {pump.reading()}")
        outcome.figures["failed deliveries"] = pump.reading().failures
        _judge(outcome, rig, server.messages())
    return outcome


def _judge(outcome: Outcome, rig: Rig, messages: list[bytes]) -> None:
    found = [_WHOLE.fullmatch(message, message.rfind(b"<110>1 ")) for message in messages]
    seqs = [int(match[1]) for match in found if match is not None]
    outcome.figures |= {"records": rig.writer.size, "messages": len(messages)}
    missing = set(range(rig.writer.size)) - set(seqs)
    outcome.require(not missing, f"records that never arrived: {sorted(missing)[:20]}")
    first = list(dict.fromkeys(seqs))
    outcome.require(first == sorted(first), "records arrived before earlier ones")
