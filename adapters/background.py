"""Work that a process does beside its requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

logger = structlog.stdlib.get_logger(__name__)

CANCEL_AGAIN_SECONDS = 0.5


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


@asynccontextmanager
async def repeating(
    name: str, work: Callable[[], Awaitable[None]], *, every_seconds: float
) -> AsyncIterator[None]:
    """Repeats `work` while the block runs."""
    task = asyncio.create_task(repeat(name, work, every_seconds=every_seconds))
    try:
        yield
    finally:
        await cancelled(task)


async def cancelled(task: "asyncio.Task[None]") -> None:
    """Cancels a task, and returns when it has ended.

    Cancels again if needed: a call whose own timeout lapses at the same moment can take the
    cancellation for it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
