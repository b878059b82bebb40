"""A probe of the event loop: how late does a timer fire?"""

import asyncio
from collections.abc import Callable


async def watch_loop(observe: Callable[[float], None], *, interval_s: float = 1.0) -> None:
    """Report, about every `interval_s`, how many seconds late the running loop woke this task.

    Runs until it is cancelled. Measures with the loop's own clock, since that is what sets timers.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        observe(max(0.0, loop.time() - due))
