"""One partition's messages: those of one lane in order, lanes at once, and what may be committed.

A message's offset may be committed when it and all before it are done; a message that is not done
is read again by whoever has the partition next.
"""

import asyncio
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[None]]


class Lanes:
    """Work in the order of its lanes. Work that raises is never done, and `failure` tells why."""

    def __init__(self) -> None:
        self._unfinished: dict[asyncio.Task[None], int] = {}  # their offsets, in order
        self._last: dict[str, asyncio.Task[None]] = {}
        self._end: int | None = None
        self.failure: BaseException | None = None

    @property
    def unfinished(self) -> int:
        """How many messages are not done."""
        return len(self._unfinished)

    @property
    def committable(self) -> int | None:
        """The offset at which somebody else would have to begin; None before the first message."""
        return next(iter(self._unfinished.values()), self._end)

    def add(self, offset: int, lane: str, work: Work) -> None:
        """Begins the work as soon as what came before it in its lane has ended."""
        task = asyncio.create_task(_after(self._last.get(lane), work))
        self._unfinished[task] = offset
        self._last[lane] = task
        self._end = offset + 1
        task.add_done_callback(lambda task: self._ended(lane, task))

    async def drain(self) -> None:
        """Returns when all is done, or nothing more will be."""
        while self._unfinished and self.failure is None:
            await asyncio.wait([*self._unfinished], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # for the callbacks

    async def abandon(self) -> None:
        """Stops what is not done; what it has started already goes on, and is found again."""
        tasks = [*self._unfinished]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, lane: str, task: asyncio.Task[None]) -> None:
        if self._last.get(lane) is task:
            del self._last[lane]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failure = self.failure or error
            return
        del self._unfinished[task]


async def _after(before: asyncio.Task[None] | None, work: Work) -> None:
    if before is not None:
        await asyncio.wait({before})
        if before.cancelled() or before.exception() is not None:
            raise asyncio.CancelledError  # what should come before never came
    await work()
