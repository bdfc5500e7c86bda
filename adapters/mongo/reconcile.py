"""MongoDB: what reconciling reads of carts and of their records.

It works on the documents that `adapters.mongo.client.connect` has bound.
"""

from collections import deque
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.cart import Cart
from models.operation import Operation
from models.upkeep.watch import HoldWatch

PAGE = 500
LATELY = 1000  # operations
_BRIEF = {
    "userId": 1,
    "version": 1,
    "createdAt": 1,
    "cartItems.productId": 1,
    "cartItems.productQuantity": 1,
}


@dataclass(frozen=True, slots=True)
class BriefCart:
    """A cart as far as it is compared: its units by product, and what the cache should say."""

    user_id: str
    version: int
    created_at: datetime
    lines: dict[str, int]


class CartBooks:
    """Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def stores(self, after: str = "") -> AsyncIterator[str]:
        """The stores after this one, in order: those that have carts, had an operation lately, or
        are known to hold what no cart has."""
        beside = deque(sorted(store for store in await self._without_carts() if store > after))
        while True:
            async with bounded(READ_SECONDS):
                found = await Cart.get_pymongo_collection().find_one(
                    {"storeId": {"$gt": after}}, {"storeId": 1}, sort=[("storeId", 1)]
                )
            coming = [found["storeId"]] if found else []
            if beside:
                coming.append(beside[0])
            if not coming:
                return
            after = min(coming)
            while beside and beside[0] <= after:
                beside.popleft()
            yield after

    @staticmethod
    async def _without_carts() -> set[str]:
        """Stores where something may be held though they may have no cart."""
        async with bounded(LIST_SECONDS):
            lately = await Operation.get_pymongo_collection().aggregate(
                [
                    {"$match": {"pending": False}},
                    {"$sort": {"at": -1}},
                    {"$limit": LATELY},
                    {"$group": {"_id": "$storeId"}},
                ]
            )
            stores = {row["_id"] async for row in lately}
            watch = await HoldWatch.find_one()
        return stores | {one.store_id for one in watch.drifts} if watch else stores

    async def carts(self, store_id: str, *, after: str) -> AsyncIterator[BriefCart]:
        """A store's carts, by user, in pages."""
        while True:
            async with bounded(LIST_SECONDS):
                page = await (
                    Cart.get_pymongo_collection()
                    .find({"storeId": store_id, "userId": {"$gt": after}}, _BRIEF)
                    .sort("userId", 1)
                    .limit(PAGE)
                    .to_list()
                )
            for cart in page:
                lines = {line["productId"]: line["productQuantity"] for line in cart["cartItems"]}
                yield BriefCart(cart["userId"], cart["version"], cart["createdAt"], lines)
            if len(page) < PAGE:
                return
            after = page[-1]["userId"]

    async def pages(self, store_id: str, *, size: int) -> AsyncIterator[list[Cart]]:
        """A store's whole carts, by user."""
        after = ""
        while True:
            wanted = {"storeId": store_id, "userId": {"$gt": after}}
            async with bounded(LIST_SECONDS):
                page = await Cart.find(wanted).sort("+userId").limit(size).to_list()
            if page:
                yield page
            if len(page) < size:
                return
            after = page[-1].user_id

    async def whole(self, store_id: str, user_ids: Collection[str]) -> list[Cart]:
        """The carts of some users."""
        async with bounded(LIST_SECONDS):
            return await Cart.find({"storeId": store_id, "userId": {"$in": [*user_ids]}}).to_list()

    async def stuck(
        self, store_id: str, *, after: str, up_to: str | None, before: datetime
    ) -> list[str]:
        """The users with an effect that was pending before that time, in a range of users."""
        users = {"$gt": after} if up_to is None else {"$gt": after, "$lte": up_to}
        wanted = {"storeId": store_id, "pending": True, "userId": users, "at": {"$lt": before}}
        async with bounded(LIST_SECONDS):
            found = Operation.get_pymongo_collection().find(
                wanted, {"userId": 1}, hint="pending_by_cart"
            )
            return sorted({record["userId"] async for record in found})

    async def pending(self, store_id: str, user_id: str) -> list[Operation]:
        """The records of a cart with an effect to do, oldest first."""
        wanted = {"storeId": store_id, "userId": user_id, "pending": True}
        async with bounded(READ_SECONDS):
            return await Operation.find(wanted).sort("at").to_list()
