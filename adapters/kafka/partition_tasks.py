"""The messages of one partition that are being handled.

Messages of one lane are handled in order, and lanes in parallel. An offset can be committed when
its message and all earlier ones are done. The next consumer of the partition handles the others
again.
"""

import asyncio
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[None]]


class PartitionTasks:
    """A task for each message. A task that raises is never done; `failure` is its exception."""

    def __init__(self) -> None:
        self._unfinished: dict[asyncio.Task[None], int] = {}  # their offsets, in order
        self._last: dict[str, asyncio.Task[None]] = {}
        self._end: int | None = None
        self.failure: BaseException | None = None

    @property
    def unfinished(self) -> int:
        """The number of messages that are not done."""
        return len(self._unfinished)

    @property
    def committable(self) -> int | None:
        """The first offset that is not done; None before the first message."""
        return next(iter(self._unfinished.values()), self._end)

    def add(self, offset: int, lane: str, work: Work, *, next_offset: int | None = None) -> None:
        """Starts the work once the earlier work of its lane is done.

        `next_offset` is the offset behind the work, if it stands for more than one message.
        """
        task = asyncio.create_task(_after(self._last.get(lane), work))
        self._unfinished[task] = offset
        self._last[lane] = task
        self._end = next_offset or offset + 1
        task.add_done_callback(lambda task: self._on_end(lane, task))

    async def drain(self) -> None:
        """Waits until all work is done or some has failed."""
        while self._unfinished and self.failure is None:
            await asyncio.wait([*self._unfinished], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # let the callbacks run

    async def abandon(self) -> None:
        """Cancels the unfinished work. What it has started may still take effect."""
        tasks = [*self._unfinished]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_end(self, lane: str, task: asyncio.Task[None]) -> None:
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
            raise asyncio.CancelledError  # the lane's order would break
    await work()
