"""Work that a process repeats beside its requests."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

logger = structlog.stdlib.get_logger(__name__)


async def repeat(name: str, work: Callable[[], Awaitable[None]], *, every_seconds: float) -> None:
    """Runs `work`, pauses, and again, until cancelled.

    Whatever `work` raises is logged and does not end this: nothing else would notice.
    """
    while True:
        try:
            await work()
        except Exception:
            logger.exception("background_failed", message=f"Failed, and is repeated: {name}")
        await asyncio.sleep(every_seconds)
