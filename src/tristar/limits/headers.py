"""`x-ratelimit-*` response headers, as OpenAI documents them (its guide on rate limits).

Limits and remainders are plain numbers. A reset is the time until the whole limit is there again,
in the notation of Go's durations: `0s`, `120ms`, `8.64s`, `6m0s`, `1h0m0s`.
"""

import math

from tristar.limits.usage import Standing, Standings

Headers = list[tuple[bytes, bytes]]


def rate_limit_headers(standings: Standings) -> Headers:
    """Three headers for each kind of limit that applies, in lower case; none where nothing is limited."""
    headers: Headers = []
    if standings.requests is not None:
        _add(headers, b"requests", standings.requests)
    if standings.tokens is not None:
        _add(headers, b"tokens", standings.tokens)
    return headers


def duration(seconds: float) -> str:
    """Seconds in Go's notation, rounded up to the millisecond: 0 is `0s`, 0.12 `120ms`, 360 `6m0s`."""
    total_ms = math.ceil(round(seconds * 1000, 3))
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


def _add(headers: Headers, kind: bytes, standing: Standing) -> None:
    headers += [
        (b"x-ratelimit-limit-" + kind, b"%d" % standing.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % standing.remaining),
        (b"x-ratelimit-reset-" + kind, duration(standing.reset_s).encode()),
    ]
