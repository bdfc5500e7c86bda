"""MongoDB: reads of carts and records for reconciling."""

import zlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded, in_cart
from models.cart import CartKey
from models.documents import Cart, OperationRecord, Store
from models.effects import EffectKind
from models.runners import Share

PAGE = 500
STORES = 100
ALL = Share(runner=0, runners=1)
_BRIEF = {
    "userId": 1,
    "cartItems.productId": 1,
    "cartItems.productQuantity": 1,
    "cartItems.unitsHeld": 1,
}


@dataclass(frozen=True, slots=True)
class BriefCart:
    """The fields of a cart that are compared. `held` is product id -> units that must be held."""

    user_id: str
    held: dict[str, int]


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect that is still to be done. `product_id` is that of a release."""

    id: str
    kind: EffectKind
    product_id: str | None
    since: datetime


@dataclass(slots=True)
class PendingOfCart:
    """What is pending of a cart: the products with releases, and effects that are stuck, the oldest
    first. `more` stuck effects are not named."""

    unsettled: set[str] = field(default_factory=set)
    stuck: list[PendingEffect] = field(default_factory=list)
    more: int = 0

    def note(self, effect: PendingEffect, *, is_stuck: bool, limit: int) -> None:
        if effect.product_id is not None:
            self.unsettled.add(effect.product_id)
        if is_stuck and len(self.stuck) < limit:
            self.stuck.append(effect)
        elif is_stuck:
            self.more += 1


class CartBooks:
    """Reads for reconciling. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def stores(self, after: str = "", *, share: Share = ALL) -> AsyncIterator[str]:
        """A share of the stores after `after`, in order: those registered, and those with carts."""
        async for store_id in self._stores(after):
            if zlib.crc32(store_id.encode()) % share.runners == share.runner:
                yield store_id

    async def _stores(self, after: str) -> AsyncIterator[str]:
        while True:
            async with bounded(READ_SECONDS):
                page = [
                    store.id
                    for store in await Store.find({"_id": {"$gt": after}})
                    .sort("+_id")
                    .limit(STORES)
                    .to_list()
                ]
            last = page[-1] if len(page) == STORES else None
            others = await self._unregistered(after, last, page)
            for store_id in sorted([*page, *others]):
                yield store_id
            if last is None:
                return
            after = last

    @staticmethod
    async def _unregistered(after: str, last: str | None, registered: list[str]) -> list[str]:
        """The stores with carts after `after`, up to `last`, that are not registered."""
        between: dict[str, Any] = {"$gt": after, "$nin": registered}
        if last is not None:
            between["$lt"] = last
        async with bounded(LIST_SECONDS):
            found: list[str] = await Cart.get_pymongo_collection().distinct(
                "storeId", {"storeId": between}
            )
        return found

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
                yield BriefCart(cart["userId"], dict(map(_held, cart["cartItems"])))
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

    async def stuck(self, store_id: str, *, after: str, before: datetime) -> AsyncIterator[str]:
        """The users after a user with an effect that is pending since before a time, by user."""
        while True:
            wanted = {
                "storeId": store_id,
                "pending": True,
                "userId": {"$gt": after},
                "at": {"$lt": before},
            }
            async with bounded(LIST_SECONDS):
                page = await (
                    OperationRecord.get_pymongo_collection()
                    .find(wanted, {"_id": 0, "userId": 1}, hint="pending_by_cart")
                    .sort("userId", 1)
                    .limit(PAGE)
                    .to_list()
                )
            for user_id in dict.fromkeys(record["userId"] for record in page):
                yield user_id
            if len(page) < PAGE:
                return
            after = page[-1]["userId"]

    async def pending(self, key: CartKey, *, stuck_before: datetime, limit: int) -> PendingOfCart:
        """What is pending of a cart; names at most `limit` effects since before a time."""
        undone = {"input": "$effects", "cond": {"$eq": ["$$this.doneAt", None]}}
        shown = {"id": "$effects.id", "kind": "$effects.kind", "productId": "$effects.productId"}
        pending = PendingOfCart()
        async with bounded(READ_SECONDS):
            found = await OperationRecord.get_pymongo_collection().aggregate(
                [
                    {"$match": in_cart(key) | {"pending": True}},
                    {"$sort": {"at": 1}},
                    {"$set": {"effects": {"$filter": undone}}},
                    {"$unwind": "$effects"},
                    {"$project": {"at": 1, **shown}},
                ],
                hint="pending_by_cart",
            )
            async for one in found:
                effect = PendingEffect(
                    id=one["id"],
                    kind=EffectKind(one["kind"]),
                    product_id=one.get("productId"),
                    since=one["at"],
                )
                pending.note(effect, is_stuck=effect.since < stuck_before, limit=limit)
        return pending


def _held(line: dict[str, Any]) -> tuple[str, int]:
    """The product of a stored line, and its units that are held (`CartLine.held`)."""
    held = line.get("unitsHeld")
    return line["productId"], line["productQuantity"] if held is None else held
