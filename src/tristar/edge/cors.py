"""Pages of other origins that may call the API from a browser: none, unless they are configured.

Keys travel in a header that no browser adds by itself, so credentials are never asked for (Fetch standard,
section 3.2, CORS protocol).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from tristar.errors import Forbidden

Headers = list[tuple[bytes, bytes]]

EXPOSED: Final = (
    b"x-request-id, request-id, x-tristar-trace-id, x-tristar-llm, x-tristar-attempts, x-tristar-memory, "
    b"retry-after, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
REMEMBERED_S: Final = 600
_ASKED = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+){0,63}")


class Origins:
    """The origins that may call. Without any, no answer mentions origins at all."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._named = frozenset(origin.encode() for origin in origins)

    def allowed(self, origin: bytes | None) -> bytes | None:
        """What answers say of who may read them; None: nothing."""
        if origin is None or not self._named:
            return None
        if self._any:
            return b"*"
        return origin if origin in self._named else None

    def preflight(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Headers | None:
        """The answer's headers, if a browser asks whether a page may call; None if it is no such question.

        Raises:
            Forbidden: the page's origin is not configured.
        """
        if method != "OPTIONS" or not self._named:
            return None
        asked = dict(headers)
        if b"origin" not in asked or b"access-control-request-method" not in asked:
            return None
        if self.allowed(asked[b"origin"]) is None:
            raise Forbidden("Pages of this origin may not call the gateway ([server] cors_origins).")
        answer = [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-max-age", b"%d" % REMEMBERED_S),
        ]
        wanted = asked.get(b"access-control-request-headers", b"")
        if len(wanted) <= 2048 and _ASKED.fullmatch(wanted):
            answer.append((b"access-control-allow-headers", wanted))
        return answer
