"""MongoDB: reads of carts and records for reconciling."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.documents import Cart, OperationRecord, Store

PAGE = 500
_BRIEF = {"userId": 1, "cartItems.productId": 1, "cartItems.productQuantity": 1}


@dataclass(frozen=True, slots=True)
class BriefCart:
    """The fields of a cart that are compared. `lines` is product id -> units."""

    user_id: str
    lines: dict[str, int]


class CartBooks:
    """Reads for reconciling. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def stores(self, after: str = "") -> AsyncIterator[str]:
        """The stores after `after`, in order: those registered, and those with carts."""
        while True:
            async with bounded(READ_SECONDS):
                store = await Store.find({"_id": {"$gt": after}}).sort("+_id").first_or_none()
                cart = await Cart.get_pymongo_collection().find_one(
                    {"storeId": {"$gt": after}}, {"storeId": 1}, sort=[("storeId", 1)]
                )
            stores = [store.id] if store else []
            if cart is not None:
                stores.append(cart["storeId"])
            if not stores:
                return
            after = min(stores)
            yield after

    async def carts(self, store_id: str, *, after: str) -> AsyncIterator[BriefCart]:
        """A store's carts after a user, by user."""
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
                yield BriefCart(cart["userId"], lines)
            if len(page) < PAGE:
                return
            after = page[-1]["userId"]

    async def pages(self, store_id: str, *, size: int) -> AsyncIterator[list[Cart]]:
        """Pages of a store's carts with all fields, by user."""
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
        """The carts of these users with all fields."""
        async with bounded(LIST_SECONDS):
            return await Cart.find({"storeId": store_id, "userId": {"$in": [*user_ids]}}).to_list()

    async def users_with_cart(self, store_id: str, user_ids: Collection[str]) -> set[str]:
        """The users among these who have a cart."""
        wanted = {"storeId": store_id, "userId": {"$in": [*user_ids]}}
        async with bounded(LIST_SECONDS):
            found = Cart.get_pymongo_collection().find(wanted, {"_id": 0, "userId": 1})
            return {cart["userId"] async for cart in found}

    async def stuck(
        self, store_id: str, *, after: str, up_to: str | None, before: datetime
    ) -> list[str]:
        """The users in a range with an effect that has been pending since before a time."""
        users = {"$gt": after} if up_to is None else {"$gt": after, "$lte": up_to}
        wanted = {"storeId": store_id, "pending": True, "userId": users, "at": {"$lt": before}}
        async with bounded(LIST_SECONDS):
            found = OperationRecord.get_pymongo_collection().find(
                wanted, {"userId": 1}, hint="pending_by_cart"
            )
            return sorted({record["userId"] async for record in found})

    async def pending(self, store_id: str, user_id: str) -> list[OperationRecord]:
        """The records of a cart with a pending effect, oldest first."""
        wanted = {"storeId": store_id, "userId": user_id, "pending": True}
        async with bounded(READ_SECONDS):
            return await OperationRecord.find(wanted).sort("at").to_list()
