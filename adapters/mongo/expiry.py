"""MongoDB: carts past their time.

It works on the documents that `adapters.mongo.client.connect` has bound.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from beanie import PydanticObjectId

from adapters.mongo.client import LIST_SECONDS, bounded
from models.cart import Cart


@dataclass(frozen=True, slots=True)
class ExpiredCart:
    """A cart that has expired, and whose it is."""

    cart_id: str
    store_id: str
    user_id: str


class ExpiredCarts:
    """Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def page(
        self, *, before: datetime, besides: Collection[str], limit: int
    ) -> list[ExpiredCart]:
        """The carts that expired by `before`, longest ago first, without those in `besides`."""
        wanted = {
            "expireAt": {"$lte": before},
            "_id": {"$nin": [PydanticObjectId(cart_id) for cart_id in besides]},
        }
        async with bounded(LIST_SECONDS):
            found = Cart.get_pymongo_collection().find(
                wanted, {"storeId": 1, "userId": 1}, sort=[("expireAt", 1)], limit=limit
            )
            return [
                ExpiredCart(str(cart["_id"]), cart["storeId"], cart["userId"])
                async for cart in found
            ]
