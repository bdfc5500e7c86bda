"""MongoDB: reads of more than one cart, for events, expiry and the end of holds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beanie import PydanticObjectId

from adapters.mongo.client import LIST_SECONDS, bounded
from models.cart import CartKey
from models.cart_line import ProductAvailability
from models.documents import Cart


@dataclass(frozen=True, slots=True)
class CartRef:
    """A cart's id and owner and, of one that a scan has found, when it was changed last."""

    cart_id: str
    key: CartKey
    updated_at: datetime | None = None


class CartScans:
    """Reads of carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def to_mark(
        self,
        news: ProductAvailability,
        *,
        buckets: Sequence[int],
        store_id: str | None,
        after: str | None,
        limit: int,
    ) -> list[CartRef]:
        """The next carts of buckets whose line of the product is older than the news, by id.

        `store_id` None means all stores, `after` None the first page.
        """
        line = {
            "productId": news.product_id,
            "reservedAt": {"$lt": news.at},
            "$or": [{"availabilityAt": None}, {"availabilityAt": {"$lt": news.at}}],
        }
        query: dict[str, Any] = {
            "cartItems": {"$elemMatch": line},
            "bucket": {"$in": [*buckets]},
        }
        if store_id is not None:
            query["storeId"] = store_id
        if after is not None:
            query["_id"] = {"$gt": PydanticObjectId(after)}
        return await _refs(query, sort="_id", limit=limit)

    async def expired(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        """Carts of buckets that expired by `before`, oldest first, without those in `exclude`."""
        return await _refs_due("expireAt", buckets, before, exclude, limit, checkout=None)

    async def to_lapse(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        """Carts of buckets whose holds have ended by `before`, as in `expired`."""
        return await _refs_due("holdsEnd", buckets, before, exclude, limit)

    async def to_thaw(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        """Carts of buckets whose checkout has ended by `before`, as in `expired`."""
        return await _refs_due("checkout.expiresAt", buckets, before, exclude, limit)

    async def to_abandon(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> list[CartRef]:
        """Carts of buckets that are due to be abandoned by `before`, as in `expired`."""
        return await _refs_due("abandonAt", buckets, before, exclude, limit)


async def _refs_due(
    field: str,
    buckets: Sequence[int],
    before: datetime,
    exclude: Collection[str],
    limit: int,
    **more: object,
) -> list[CartRef]:
    query = {
        "bucket": {"$in": [*buckets]},
        # The type is a condition of the partial indexes, which are not used without it.
        field: {"$lte": before, "$type": "date"},
        "_id": {"$nin": [PydanticObjectId(cart_id) for cart_id in exclude]},
    }
    return await _refs(query | more, sort=field, limit=limit)


async def _refs(query: Mapping[str, Any], *, sort: str, limit: int) -> list[CartRef]:
    async with bounded(LIST_SECONDS):
        found = Cart.get_pymongo_collection().find(
            query, {"storeId": 1, "userId": 1, "updatedAt": 1}, sort=[(sort, 1)], limit=limit
        )
        return [
            CartRef(str(cart["_id"]), CartKey(cart["storeId"], cart["userId"]), cart["updatedAt"])
            async for cart in found
        ]
