"""MongoDB: expired carts."""

from collections.abc import Collection
from datetime import datetime

from beanie import PydanticObjectId

from adapters.mongo.cart_scans import CartRef
from adapters.mongo.client import LIST_SECONDS, bounded
from models.documents import Cart


class ExpiredCarts:
    """Reads of expired carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def page(
        self, *, before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        """Carts that expired by `before`, oldest first, without the ids in `exclude`."""
        wanted = {
            "expireAt": {"$lte": before},
            "_id": {"$nin": [PydanticObjectId(cart_id) for cart_id in exclude]},
        }
        async with bounded(LIST_SECONDS):
            found = Cart.get_pymongo_collection().find(
                wanted, {"storeId": 1, "userId": 1}, sort=[("expireAt", 1)], limit=limit
            )
            return [CartRef.of(cart) async for cart in found]
