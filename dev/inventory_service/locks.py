"""One asyncio lock per key, kept only while somebody holds it or waits for it.

A courtesy, never a guarantee: it spares the database the conflicts of requests of this process on
the same product. What keeps the numbers right is the transaction.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class KeyedLocks:
    """Locks by key; there are never more of them than requests under way."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def hold(self, key: str, seconds: float) -> AsyncIterator[None]:
        """Holds `key`'s lock inside the block; `TimeoutError` after waiting `seconds` for it."""
        entry = self._entries.setdefault(key, _Entry())
        entry.users += 1
        try:
            async with asyncio.timeout(seconds):
                await entry.lock.acquire()
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
