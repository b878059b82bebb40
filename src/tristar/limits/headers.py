"""`x-ratelimit-*` response headers, as OpenAI documents them (its guide on rate limits).

Limits and remainders are plain numbers. A reset is the time until the whole limit is there again,
in the notation of Go's durations: `0s`, `120ms`, `8.64s`, `6m0s`, `1h0m0s`.
"""

import functools
import math

from tristar.limits.usage import Standing, Standings

Headers = list[tuple[bytes, bytes]]


def rate_limit_headers(standings: Standings) -> Headers:
    """Three headers for each kind of limit that applies, in lower case; none where nothing is limited."""
    headers: Headers = []
    if standings.requests is not None:
        _add(headers, _REQUESTS, standings.requests)
    if standings.tokens is not None:
        _add(headers, _TOKENS, standings.tokens)
    return headers


def duration(seconds: float) -> str:
    """Seconds in Go's notation, rounded up to the millisecond: 0 is `0s`, 0.12 `120ms`, 360 `6m0s`."""
    return _duration(math.ceil(round(seconds * 1000, 3)))


@functools.lru_cache(maxsize=4096)
def _duration(total_ms: int) -> str:
    if total_ms <= 0:
        return "0s"
    if total_ms < 1000:
        return f"{total_ms}ms"
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _add(headers: Headers, names: tuple[bytes, bytes, bytes], standing: Standing) -> None:
    limit, remaining, reset = names
    headers += (
        (limit, b"%d" % standing.limit),
        (remaining, b"%d" % standing.remaining),
        (reset, duration(standing.reset_s).encode()),
    )


def _names(kind: bytes) -> tuple[bytes, bytes, bytes]:
    return b"x-ratelimit-limit-" + kind, b"x-ratelimit-remaining-" + kind, b"x-ratelimit-reset-" + kind


_REQUESTS = _names(b"requests")
_TOKENS = _names(b"tokens")
