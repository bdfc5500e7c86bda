"""The inventory and MongoDB of `cart import`, in memory, and carts of the original service."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from bson import ObjectId

from adapters.mongo.imports import Import
from models.cart import CartKey
from models.documents import Cart
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable
from models.steps import Reservation, ReserveInventory
from models.store_settings import StoredSettings
from models.upkeep.reconcile import ReservationPage, ReservedUnits

STORE = "store-1"


def original(user: str, units: int = 2, product: str = "lamp", **more: Any) -> dict[str, Any]:
    """A cart as Mongoose stores it."""
    line = {"productId": product, "productTitle": "Lamp", "productPrice": 5.0}
    return {
        "_id": ObjectId(),
        "userId": user,
        "storeId": STORE,
        "cartItems": [line | {"productQuantity": units}],
        "expireAt": datetime.now(UTC) + timedelta(days=1),
        "version": 1,
    } | more


async def each(documents: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for document in documents:
        yield document


async def no_settings(store_ids: Collection[str]) -> list[StoredSettings]:
    """No store has settings of its own."""
    return []


class FakeInventory:
    """Units by user and product. `failing` calls fail first; `sold_out` products have no unit."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], int] = {}
        self.sold_out: set[str] = set()
        self.failing = 0
        self.at_once = self.most_at_once = 0
        self.lookups = 0

    async def reserve(self, request: ReserveInventory) -> Reservation:
        await self._call()
        if request.product_id in self.sold_out:
            return Reservation(granted=False, available=0)
        key = (request.user_id, request.product_id)
        self.held[key] = self.held.get(key, 0) + request.quantity
        return Reservation(granted=True)

    async def close(self) -> None:
        """Nothing is open."""

    async def release(self, store_id: str, user_id: str, release: ReleaseEffect) -> None:
        await self._call()
        self.held[user_id, release.product_id] -= release.quantity

    async def reservations(self, store_id: str) -> ReservationPage:
        await self._call()
        rows = [
            ReservedUnits(user_id=user, product_id=product, quantity=units)
            for (user, product), units in self.held.items()
        ]
        return ReservationPage(reservations=tuple(rows), cursor=None)

    async def held_units(self, store_id: str, user_id: str) -> dict[str, int]:
        await self._call()
        self.lookups += 1
        return {product: units for (user, product), units in self.held.items() if user == user_id}

    async def _call(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.failing:
            self.failing -= 1
            raise DependencyUnavailable("inventory", "away")


class FakeImports:
    """Carts by owner, and the ids of what was imported. `begun` are owners of other carts.

    With `two_pages`, pages are stored once there are two of them.
    """

    def __init__(self) -> None:
        self.stored: dict[CartKey, Import] = {}
        self.begun: set[CartKey] = set()
        self.committed: set[str] = set()
        self.down = False
        self.two_pages = asyncio.Event()
        self.two_pages.set()
        self.pages_at_once = 0

    async def imported(self, operations: Collection[tuple[CartKey, str]]) -> set[str]:
        return self.committed & {one for _, one in operations}

    async def carts(self, keys: Collection[CartKey]) -> dict[CartKey, Cart]:
        found = {key: self.stored[key] for key in keys if key in self.stored}
        return {
            key: cast("Cart", SimpleNamespace(id=one.cart_id, cart_items=one.cart.cart_items))
            for key, one in found.items()
        }

    async def store(self, imports: Sequence[Import]) -> bool:
        self.pages_at_once += 1
        if self.pages_at_once > 1:
            self.two_pages.set()
        await self.two_pages.wait()
        self.pages_at_once -= 1
        if self.down:
            raise DependencyUnavailable("mongodb", "away")
        if any(one.cart.key in self.begun for one in imports):
            return False
        for one in imports:
            self.stored[one.cart.key] = one
            self.committed.add(one.saga.operation_id)
        return True


class FakeStores:
    async def register(self, store_id: str) -> None:
        """Every store is registered."""
