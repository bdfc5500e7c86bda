"""MongoDB: what events need to know of carts beyond the one that a saga changes.

It works on the documents that `adapters.mongo.client.connect` has bound.
"""

from dataclasses import dataclass
from typing import Any

from beanie import PydanticObjectId

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.cart import Cart
from models.messages import AvailabilityNews
from models.operation import Operation
from models.ordering import ordered_lines
from models.steps import FindOrdered, Ordered


@dataclass(frozen=True, slots=True)
class CartKey:
    """A cart, and whose it is."""

    cart_id: str
    store_id: str
    user_id: str


class CartScans:
    """Reads over carts and records. Raises `DependencyUnavailable` when MongoDB is away."""

    async def ordered(self, request: FindOrdered) -> Ordered:
        """What is still in a cart of what it had at a version."""
        async with bounded(READ_SECONDS):
            cart = await Cart.find_one({"_id": PydanticObjectId(request.cart_id)})
            since = Operation.get_pymongo_collection().find(
                {
                    "cartId": request.cart_id,
                    "state": "committed",
                    "version": {"$gt": request.cart_version},
                },
                {"moved": 1},
                sort=[("version", 1)],
            )
            moves = [record.get("moved", {}) async for record in since]
        now = {line.product_id: line.product_quantity for line in cart.cart_items} if cart else {}
        return Ordered(lines=ordered_lines(now, moves, request.items))

    async def to_mark(
        self, news: AvailabilityNews, *, store_id: str | None, after: str | None, limit: int
    ) -> list[CartKey]:
        """The next carts whose line of the product is older than the news, in order of their ids.

        `store_id` None means all stores, `after` None from the beginning.
        """
        line = {
            "productId": news.product_id,
            "reservedAt": {"$lt": news.at},
            "$or": [{"availabilityAt": None}, {"availabilityAt": {"$lt": news.at}}],
        }
        query: dict[str, Any] = {"cartItems": {"$elemMatch": line}}
        if store_id is not None:
            query["storeId"] = store_id
        if after is not None:
            query["_id"] = {"$gt": PydanticObjectId(after)}
        async with bounded(LIST_SECONDS):
            found = Cart.get_pymongo_collection().find(
                query, {"storeId": 1, "userId": 1}, sort=[("_id", 1)], limit=limit
            )
            return [
                CartKey(str(cart["_id"]), cart["storeId"], cart["userId"]) async for cart in found
            ]
