"""Waiting for a condition instead of for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    check: Callable[[], Awaitable[T]], *, timeout: float = 15.0, interval: float = 0.05
) -> T:
    """The first value of `check` that does not raise `AssertionError`, within `timeout` seconds.

    Other errors of a dependency that is just coming back count as "not yet" too.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await check()
        except Exception:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(interval)
