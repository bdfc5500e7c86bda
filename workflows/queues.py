"""Lines up the starters of operations on one cart, in each process."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from models.errors import OperationInProgress


class Queues:
    """One queue for each cart, so that only the first starter asks Temporal."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._waiting: set[str] = set()

    @asynccontextmanager
    async def turn(
        self, workflow_id: str, operation_id: str, deadline: float
    ) -> AsyncIterator[None]:
        """Holds the turn of one starter; `deadline` is in `time.monotonic()` seconds."""
        if operation_id in self._waiting:
            raise OperationInProgress("the same operation is waiting for its turn")
        lock, users = self._locks.get(workflow_id, (asyncio.Lock(), 0))
        self._locks[workflow_id] = (lock, users + 1)
        self._waiting.add(operation_id)
        try:
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await lock.acquire()
            except TimeoutError:
                raise OperationInProgress("the cart is busy") from None
            try:
                yield
            finally:
                lock.release()
        finally:
            self._waiting.discard(operation_id)
            lock, users = self._locks[workflow_id]
            if users > 1:
                self._locks[workflow_id] = (lock, users - 1)
            else:
                del self._locks[workflow_id]
