"""MongoDB: reads for events that concern more than one cart version or more than one cart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beanie import PydanticObjectId

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.cart import CartKey, ProductAvailability
from models.documents import Cart, OperationRecord
from models.ordering import ordered_lines
from models.steps import FindOrdered, Ordered


@dataclass(frozen=True, slots=True)
class CartRef:
    """A cart's id and owner."""

    cart_id: str
    key: CartKey

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "CartRef":
        """From the fields `_id`, `storeId` and `userId` of a stored cart."""
        return cls(str(stored["_id"]), CartKey(stored["storeId"], stored["userId"]))


class CartScans:
    """Reads of carts and records. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def ordered(self, request: FindOrdered) -> Ordered:
        """The units of an earlier version of the cart that are still in it."""
        async with bounded(READ_SECONDS):
            cart = await Cart.find_one({"_id": PydanticObjectId(request.cart_id)})
            since = OperationRecord.get_pymongo_collection().find(
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
        self, news: ProductAvailability, *, store_id: str | None, after: str | None, limit: int
    ) -> list[CartRef]:
        """The next carts whose line of the product is older than the news, by id.

        `store_id` None means all stores, `after` None the first page.
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
            return [CartRef.of(cart) async for cart in found]
