"""An upstream that misbehaves on command: OpenAI chat completions and Anthropic Messages over raw sockets.

Start one, say what each model's calls meet, and read in its journal what reached it:

    with Upstream() as upstream:
        upstream.on("gpt-x", Status(429, retry_after="1"), Answer())
        ...                                    # base_url=upstream.base_url
        upstream.journal.wait_for_calls(2)
        assert upstream.journal.calls[0].status == 429

`script` holds the steps (what one call meets), `wire` how an answer travels, `gate` the
means to hold a stream until the test lets it go, `journal` what was seen, `server` the
sockets, `tls` a certificate authority of its own. `python -m tests.upstream` runs one alone.
"""

from tests.upstream.gate import Gate
from tests.upstream.journal import Call, Journal
from tests.upstream.meaning import Meant
from tests.upstream.script import (
    Answer,
    CloseBeforeHeaders,
    Cut,
    Embedded,
    Garbage,
    Hang,
    Malformed,
    Mirror,
    Raw,
    ResetBeforeHeaders,
    Stall,
    Status,
    Step,
    ToolCall,
    bad_key,
    content_filter,
    context_length_exceeded,
)
from tests.upstream.server import Upstream
from tests.upstream.sockets import BlackHole, ClosedPort
from tests.upstream.tls import Authority
from tests.upstream.wire import Wire

__all__ = [
    "Answer",
    "Authority",
    "BlackHole",
    "Call",
    "CloseBeforeHeaders",
    "ClosedPort",
    "Cut",
    "Embedded",
    "Garbage",
    "Gate",
    "Hang",
    "Journal",
    "Malformed",
    "Meant",
    "Mirror",
    "Raw",
    "ResetBeforeHeaders",
    "Stall",
    "Status",
    "Step",
    "ToolCall",
    "Upstream",
    "Wire",
    "bad_key",
    "content_filter",
    "context_length_exceeded",
]
