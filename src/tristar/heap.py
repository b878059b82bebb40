"""Memory of a serving process: what the garbage collector looks at, and what goes back to the system."""

import contextlib
import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 256 * 1024


def settle() -> None:
    """Call it once everything is loaded and built, and before forking; forks inherit it.

    The collector is kept off what start-up made, and collects the rest seldom (p99 latency). Blocks over
    256 KiB return to the system when they are freed: glibc by itself raises that bound to the largest block
    ever freed (32 MiB at most) and keeps what is below it: the first segment that the audit log packs
    would leave 25 MB with the process for good.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with contextlib.suppress(AttributeError):  # no mallopt: not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
