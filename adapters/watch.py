"""MongoDB: what the watch over holds knows, and which stores it should not forget.

It works on the documents that `adapters.mongo.connect` has bound.
"""

from adapters.mongo import READ_SECONDS, bounded
from models.cart import Cart
from models.operation import Operation
from models.watch import HoldWatch

LATELY = 1000  # operations


class WatchStore:
    """Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def latest(self) -> HoldWatch | None:
        """What is known; None before the first look."""
        async with bounded(READ_SECONDS):
            return await HoldWatch.find_one()

    async def keep(self, watch: HoldWatch) -> None:
        """Replaces what was known."""
        async with bounded(READ_SECONDS):
            await watch.save()

    async def emptied_stores(self) -> list[str]:
        """The stores of the latest operations that have no cart any more."""
        async with bounded(READ_SECONDS):
            records = Operation.get_pymongo_collection().find(
                {"pending": False}, {"storeId": 1}, sort=[("at", -1)], limit=LATELY
            )
            stores = {record["storeId"] async for record in records}
            carts = Cart.get_pymongo_collection()
            return [
                store
                for store in sorted(stores)
                if await carts.find_one({"storeId": store}, {"_id": 1}) is None
            ]
