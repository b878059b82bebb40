"""What browsers are told about answers beside the llm routes, so that a page is nothing but a page.

After the OWASP Secure Headers Project and the REST Security Cheat Sheet. The console has its own, stricter
policy; what a route says itself is not said twice.
"""

from typing import Final

Headers = list[tuple[bytes, bytes]]

PAGES: Final = ("/console", "/docs")
_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_ALWAYS: Final[Headers] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Guards:
    """`hsts_s` is how long browsers that saw a page over TLS insist on it; 0 says nothing of that."""

    def __init__(self, hsts_s: int) -> None:
        self._hsts = b"max-age=%d" % hsts_s if hsts_s else None

    def headers(self, path: str, *, secure: bool) -> Headers:
        """What an answer to this path carries unless it says otherwise itself."""
        is_page = path.startswith(PAGES)
        policy = DOCS_POLICY if path.startswith("/docs") else _NOTHING
        headers = [*_ALWAYS, (b"content-security-policy", policy)]
        if not is_page:  # keys, records, entries: for whoever asked, and for no cache on the way
            headers.append((b"cache-control", b"no-store"))
        elif secure and self._hsts is not None:
            headers.append((b"strict-transport-security", self._hsts))
        return headers


def completed(headers: Headers, guards: Headers) -> Headers:
    """An answer's headers, with those of the guards that it lacks."""
    said = {name.lower() for name, _ in headers}
    return [*headers, *((name, value) for name, value in guards if name not in said)]
