"""MongoDB: reads of carts."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beanie import PydanticObjectId
from pydantic import SecretStr

from adapters.mongo.client import (
    LIST_SECONDS,
    READ_SECONDS,
    MongoClient,
    bounded,
    close,
    connect,
    in_cart,
    in_carts,
)
from models.cart import CartKey, CartVersion
from models.cart_line import AvailabilityStatus
from models.documents import Cart, OperationRecord


@dataclass(frozen=True, slots=True)
class Owner:
    """A cart's owner, and the cart if it still exists."""

    key: CartKey
    cart: Cart | None


@dataclass(frozen=True, slots=True)
class CartFilter:
    """A filter for a store's carts; None means any."""

    user_id: str | None = None
    product_id: str | None = None
    availability: AvailabilityStatus | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None

    def query(self, store_id: str) -> dict[str, Any]:
        """The MongoDB query. Product and availability must match the same line."""
        line = {
            name: value
            for name, value in (
                ("productId", self.product_id),
                ("availabilityStatus", self.availability),
            )
            if value is not None
        }
        updated = {
            name: value
            for name, value in (("$gte", self.updated_from), ("$lt", self.updated_to))
            if value is not None
        }
        query: dict[str, Any] = {"storeId": store_id}
        if self.user_id is not None:
            query["userId"] = self.user_id
        if line:
            query["cartItems"] = {"$elemMatch": line}
        if updated:
            query["updatedAt"] = updated
        return query


@dataclass(frozen=True, slots=True)
class CartScope:
    """The carts that a caller may access: the user's own, and those of `stores`."""

    user_id: str
    stores: frozenset[str] = frozenset()

    def covers(self, cart: CartKey) -> bool:
        """Whether a cart is in the scope."""
        return cart.user_id == self.user_id or cart.store_id in self.stores

    def query(self) -> dict[str, Any]:
        """The condition of a MongoDB query."""
        own = {"userId": self.user_id}
        return {"$or": [own, {"storeId": {"$in": sorted(self.stores)}}]} if self.stores else own


class CartStore:
    """Reads of carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient) -> None:
        self.client = client

    @classmethod
    async def connect(cls, uri: SecretStr, *, app_name: str) -> "CartStore":
        """Connects to the URI's database. Succeeds while MongoDB is unavailable."""
        return cls(await connect(uri, app_name=app_name))

    async def close(self) -> None:
        await close(self.client)

    async def ping(self) -> None:
        """Raises `DependencyUnavailable` unless a primary answers."""
        async with bounded(READ_SECONDS):
            await self.client.admin.command("ping")

    async def cart(self, key: CartKey) -> Cart | None:
        """The user's cart in the store, or None."""
        async with bounded(READ_SECONDS):
            return await Cart.find_one(in_cart(key))

    async def version(self, key: CartKey) -> CartVersion | None:
        """The current version of the user's cart, or None without a cart.

        Reads with read concern "majority", so it is never older than an answered change.
        """
        async with bounded(READ_SECONDS):
            found = await Cart.get_pymongo_collection().find_one(in_cart(key), {"version": 1})
        return CartVersion(str(found["_id"]), found["version"]) if found else None

    async def versions(self, keys: Collection[CartKey]) -> dict[CartKey, CartVersion]:
        """The current versions of carts, as `version` reads one; those that exist."""
        if not keys:
            return {}
        async with bounded(READ_SECONDS):
            found = Cart.get_pymongo_collection().find(
                in_carts(keys),
                {"storeId": 1, "userId": 1, "version": 1},
            )
            return {
                CartKey(one["storeId"], one["userId"]): CartVersion(str(one["_id"]), one["version"])
                async for one in found
            }

    async def cart_by_id(self, cart_id: str) -> Cart | None:
        """The cart with this id (24 hexadecimal digits), or None."""
        async with bounded(READ_SECONDS):
            return await Cart.find_one({"_id": PydanticObjectId(cart_id)})

    async def owner(self, cart_id: str, scope: CartScope | None = None) -> Owner | None:
        """The cart's owner, also after the cart was deleted; None if it never existed.

        Without a scope, of any cart. A cart that is out of scope takes as many queries as one that
        never existed, and as little data.
        """
        async with bounded(READ_SECONDS):
            within = scope.query() if scope else {}
            cart = await Cart.find_one({"_id": PydanticObjectId(cart_id), **within})
            if cart is not None:
                return Owner(cart.key, cart)
            # All records of a cart have one owner.
            record = await OperationRecord.get_pymongo_collection().find_one(
                {"cartId": cart_id}, {"_id": 0, "storeId": 1, "userId": 1}
            )
        key = CartKey(record["storeId"], record["userId"]) if record else None
        return Owner(key, None) if key and (scope is None or scope.covers(key)) else None

    async def store_carts(
        self, store_id: str, where: CartFilter, *, page: int, limit: int
    ) -> tuple[list[Cart], int]:
        """A page (from 1) of a store's carts, newest first, and their total number."""
        query = where.query(store_id)
        found = Cart.find(query)
        if where.user_id is None:  # a user has at most one
            found = found.sort("-createdAt", "-_id")
        async with bounded(LIST_SECONDS):
            carts, total = await asyncio.gather(
                found.skip((page - 1) * limit).limit(limit).to_list(),
                Cart.find(query).count(),
            )
        return carts, total
