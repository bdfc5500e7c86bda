"""MongoDB: the stores in which units may be reserved.

A store is registered before its first reservation. So the watch over reservations checks the store
even if nothing else of its first saga was stored.
"""

from datetime import UTC, datetime

from adapters.bounded_cache import BoundedCache
from adapters.mongo.client import READ_SECONDS, bounded
from models.documents import Store

MAX_KNOWN = 10_000


class StoreRegistry:
    """Registered stores. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self) -> None:
        self._known: BoundedCache[str, bool] = BoundedCache(max_size=MAX_KNOWN)

    async def register(self, store_id: str) -> None:
        """Registers a store. Writes once for each process and store."""
        if self._known.get(store_id):
            return
        async with bounded(READ_SECONDS):
            await Store.get_pymongo_collection().update_one(
                {"_id": store_id}, {"$setOnInsert": {"since": datetime.now(UTC)}}, upsert=True
            )
        self._known.keep(store_id, True)
