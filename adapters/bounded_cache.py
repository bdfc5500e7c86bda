"""A mapping of bounded size."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(OrderedDict[K, V]):
    """Bounded mapping; evicts the entry that was written the longest ago."""

    def __init__(self, *, max_size: int) -> None:
        super().__init__()
        self._max_size = max_size

    def keep(self, key: K, value: V) -> None:
        """Adds or replaces an entry, which becomes the newest."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._max_size:
            self.popitem(last=False)
