"""Work off the event loop that ends before whoever waits for it.

Guarantees: a caller that is cancelled leaves when the thread has ended, not before. Failures: those of the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[..., Result], *arguments: object) -> Result:
    """Runs `work` off the event loop. Whoever is cancelled meanwhile goes when the thread has ended, not before:

    a client that hangs up must not free the place, nor the bytes in flight, that its message still takes up.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # seen here: nobody waits for it any more
        raise
