"""Runs a function over many items with bounded concurrency."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def gather_bounded(
    function: Callable[[Item], Awaitable[Result]], items: Iterable[Item], limit: int
) -> list[Result]:
    """The results of `function` for all items, in order, with at most `limit` calls at a time.

    Raises the first error, as `asyncio.gather` does; other calls then continue.
    """
    semaphore = asyncio.Semaphore(limit)

    async def call(item: Item) -> Result:
        async with semaphore:
            return await function(item)

    return await asyncio.gather(*map(call, items))


async def gather_ramped(
    function: Callable[[Item], Awaitable[bool | None]],
    items: Iterable[Item],
    *,
    least: int,
    most: int,
) -> None:
    """Calls `function` for all items: `least` at a time at first, and one more after each success.

    `function` returns whether it succeeded, or None when that says nothing about the next call. A
    failure halves the number of calls at a time, down to `least`. So a dependency that is back from
    an outage is not met by all that has waited for it.
    """
    waiting = iter(items)
    running: set[asyncio.Future[bool | None]] = set()
    at_once, left = least, True
    try:
        while left or running:
            while left and len(running) < at_once:
                item = next(waiting, None)
                left = item is not None
                if item is not None:
                    running.add(asyncio.ensure_future(function(item)))
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for result in [one.result() for one in done]:
                    if result is not None:
                        at_once = min(most, at_once + 1) if result else max(least, at_once // 2)
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
