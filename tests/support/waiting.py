"""Waiting for a condition instead of a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    check: Callable[[], Awaitable[T]], *, timeout: float = 30.0, interval: float = 0.05
) -> T:
    """The result of the first call of `check` that raises nothing, within `timeout` seconds.

    Raises the last error after the timeout. Any error counts as "not yet", since a dependency that
    is just starting raises many.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await check()
        except Exception:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(interval)
