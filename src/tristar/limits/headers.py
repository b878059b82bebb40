"""`x-ratelimit-*` response headers, as OpenAI documents them (its guide on rate limits).

Limits and remainders are plain numbers. A reset is the time until the whole limit is there again,
in the notation of Go's durations: `0s`, `120ms`, `8.64s`, `6m0s`, `1h0m0s`.
"""

import functools
import math

from tristar.limits.usage import Standings

Headers = list[tuple[bytes, bytes]]


def rate_limit_headers(standings: Standings) -> Headers:
    """Three headers for each kind of limit that applies, in lower case; none where nothing is limited."""
    requests, tokens = standings.requests, standings.tokens
    headers: Headers = []
    if requests is not None:
        headers += (
            (b"x-ratelimit-limit-requests", b"%d" % requests.limit),
            (b"x-ratelimit-remaining-requests", b"%d" % requests.remaining),
            (b"x-ratelimit-reset-requests", _reset(requests.reset_ms)),
        )
    if tokens is not None:
        headers += (
            (b"x-ratelimit-limit-tokens", b"%d" % tokens.limit),
            (b"x-ratelimit-remaining-tokens", b"%d" % tokens.remaining),
            (b"x-ratelimit-reset-tokens", _reset(tokens.reset_ms)),
        )
    return headers


def duration(seconds: float) -> str:
    """Seconds in Go's notation, rounded up to the millisecond: 0 is `0s`, 0.12 `120ms`, 360 `6m0s`."""
    return _reset(math.ceil(round(seconds * 1000, 3))).decode()


@functools.lru_cache(maxsize=4096)
def _reset(total_ms: int) -> bytes:
    if total_ms <= 0:
        return b"0s"
    if total_ms < 1000:
        return b"%dms" % total_ms
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes or hours:
        text = f"{minutes}m{text}"
    return (f"{hours}h{text}" if hours else text).encode()
