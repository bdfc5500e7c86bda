"""Callers who want the same thing at the same time, in this process, share one way to get it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Loads by key. Nobody's cancellation ends a load: others wait for it, or profit from it."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """How many loads are under way."""
        return len(self._flights)

    def join(
        self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]
    ) -> "asyncio.Future[T]":
        """What the load under way for this key comes to; begins one when there is none."""
        task = self._flights.get(key)
        if task is None:
            task = self._flights[key] = asyncio.create_task(load())
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        return asyncio.shield(task)

    async def close(self) -> None:
        """Waits for the loads that are under way; each has its own time limit."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
