"""What is counted, and how it is shown to Prometheus; one file per subject, `books` holds them all.

`tristar.metrics.instrument(app)` gives another application its HTTP metrics and audit records.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tristar.instrument import instrument as instrument

__all__ = ["instrument"]


def __getattr__(name: str) -> object:
    # The whole gateway stands behind it: loaded for those who call it, and for nobody else.
    if name != "instrument":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tristar.instrument import instrument  # noqa: PLC0415 - as above

    return instrument
