"""One asyncio lock per key, kept only while it is held or waited for.

An optimization: it avoids write conflicts between requests of this process on one product. The
transactions guarantee correct numbers.
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
    """Locks by key; never more than there are open requests."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def hold(self, key: str, seconds: float) -> AsyncIterator[None]:
        """Holds the lock of `key`; raises `TimeoutError` after waiting for `seconds`."""
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
