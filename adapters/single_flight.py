"""Concurrent callers in this process share one load of the same thing."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Loads by key. A cancelled caller does not cancel the load, because others may wait for it."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """The number of loads in progress."""
        return len(self._flights)

    def join(
        self, key: Hashable, load: Callable[[], Coroutine[Any, Any, T]]
    ) -> "asyncio.Future[T]":
        """The result of the load in progress for this key; starts one if there is none."""
        task = self._flights.get(key)
        if task is None:
            task = self._flights[key] = asyncio.create_task(load())
            task.add_done_callback(lambda _: self._flights.pop(key, None))
        return asyncio.shield(task)

    async def close(self) -> None:
        """Waits for the loads in progress; each has its own time limit."""
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
