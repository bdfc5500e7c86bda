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
