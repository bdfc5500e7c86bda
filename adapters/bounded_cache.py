"""A mapping of bounded size."""

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Bounded mapping; evicts the entry that was written the longest ago."""

    def __init__(self, *, max_size: int) -> None:
        self._max_size = max_size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, key: K, value: V) -> None:
        """Adds or replaces an entry, which becomes the newest."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_size:
            self._entries.popitem(last=False)

    def get(self, key: K) -> V | None:
        """An entry, or None."""
        return self._entries.get(key)

    def pop(self, key: K) -> V | None:
        """Removes and returns an entry, or None."""
        return self._entries.pop(key, None)
