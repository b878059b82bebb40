"""`python -m tests.upstream`: one scripted upstream alone, for hands and for load."""

import argparse
import signal
import sys
import time

from tests.upstream.script import (
    Answer,
    Cut,
    Garbage,
    Hang,
    Malformed,
    Mirror,
    ResetBeforeHeaders,
    Stall,
    Status,
    Step,
    bad_key,
    content_filter,
    context_length_exceeded,
)
from tests.upstream.server import Upstream

STEPS: dict[str, Step] = {
    "answer": Answer(),
    "slow": Answer(gap_s=0.05),
    "no_done": Answer(done=False),
    "no_usage": Answer(report_usage=False),
    "cut": Answer(fault=Cut()),
    "cut_rst": Answer(fault=Cut(how="rst")),
    "stall": Answer(fault=Stall()),
    "silent": Answer(fault=Stall(after=0)),
    "malformed": Answer(fault=Malformed()),
    "hang": Hang(),
    "reset": ResetBeforeHeaders(),
    "garbage": Garbage(),
    "mirror": Mirror(),
    "status_429": Status(429),
    "status_500": Status(500),
    "status_503": Status(503),
    "bad_key": bad_key(),
    "content_filter": content_filter(),
    "context_length": context_length_exceeded(),
}


def main() -> int:
    """Serve until SIGINT or SIGTERM; one line per model says what its calls meet."""
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one and prints it")
    parser.add_argument("--default", choices=sorted(STEPS), default="answer", help="what unnamed models meet")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=STEP[,STEP…]",
        help="the last step stays for ever",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Upstream(port=options.port, default=STEPS[options.default]) as upstream:
        for rule in options.model:
            name, _, steps = rule.partition("=")
            upstream.on(name, *(STEPS[step] for step in steps.split(",")))
        print(f"listening on {upstream.base_url}", flush=True)  # noqa: T201 - the command's output
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    raise SystemExit(main())
