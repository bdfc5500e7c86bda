"""A pass of `cart import`: holds, an inventory that is away, pages that are under way at a time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId

from adapters.inventory import InventoryClient
from adapters.mongo.imports import Import, ImportedCarts
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.stores import StoreRegistry
from cli.import_.differences import Difference, DifferenceKind
from cli.import_.holds import CALLS_AT_ONCE, PAUSES, Holds
from cli.import_.run import PAGE, Pass, Target
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.documents import Cart
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.steps import Reservation, ReserveInventory
from models.store_settings import StoredSettings
from models.upkeep.reconcile import ReservationPage, ReservedUnits

STORE = "store-1"


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


class World:
    """The original carts, and what a pass over them does."""

    def __init__(self) -> None:
        self.inventory = FakeInventory()
        self.imports = FakeImports()
        self.originals: list[dict[str, Any]] = []
        self.report: list[Difference] = []

    def original(self, user: str, units: int = 2, product: str = "lamp") -> dict[str, Any]:
        now = datetime.now(UTC)
        line = {"productId": product, "productTitle": "Lamp", "productPrice": 5.0}
        cart = {
            "_id": ObjectId(),
            "userId": user,
            "storeId": STORE,
            "cartItems": [line | {"productQuantity": units}],
            "expireAt": now + timedelta(days=1),
            "version": 1,
        }
        self.originals.append(cart)
        return cart

    async def run(self, *, apply: bool = True) -> Pass:
        self.report.clear()
        holds = Holds(
            cast("InventoryClient", self.inventory),
            cast("StoreRegistry", FakeStores()),
            pauses=[0.0] * len(PAUSES),
        )
        target = Target(cast("ImportedCarts", self.imports), holds if apply else None)
        policies = StorePolicies(Policy(), _no_settings)
        actor = Actor(type=ActorType.OPERATOR, id="ada")
        one = Pass(target, policies, actor, self.report.append)
        async for _ in one.run(_each(self.originals)):
            pass
        return one

    def kinds(self) -> list[DifferenceKind]:
        return [one.kind for one in self.report]


async def _no_settings(store_ids: Collection[str]) -> list[StoredSettings]:
    return []


async def _each(documents: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for document in documents:
        yield document


@pytest.fixture
def world() -> World:
    return World()


async def test_all_pages_are_imported_some_of_them_at_a_time(world: World) -> None:
    count = 6 * PAGE + 1
    for number in range(count):
        world.original(f"user-{number}")
    world.imports.two_pages.clear()
    summary = (await world.run()).summary
    assert (summary.carts, summary.imported, summary.left) == (count, count, 0)
    assert len(world.imports.stored) == count
    assert world.inventory.held == {(f"user-{number}", "lamp"): 2 for number in range(count)}
    assert world.inventory.most_at_once <= CALLS_AT_ONCE


async def test_a_dry_run_reserves_and_stores_nothing(world: World) -> None:
    world.original("ada")
    summary = (await world.run(apply=False)).summary
    assert (summary.carts, summary.imported) == (1, 1)
    assert (world.inventory.held, world.imports.stored) == ({}, {})


async def test_what_is_held_is_taken_over(world: World) -> None:
    world.inventory.held["ada", "lamp"] = 3
    world.original("ada", units=5)
    await world.run()
    assert world.inventory.held == {("ada", "lamp"): 5}


async def test_a_store_without_holds_is_asked_once(world: World) -> None:
    for number in range(3 * PAGE):
        world.original(f"user-{number}")
    await world.run()
    assert world.inventory.lookups == 0


async def test_an_inventory_that_is_away_for_a_while_ends_nothing(world: World) -> None:
    world.original("ada")
    world.inventory.failing = len(PAUSES)
    summary = (await world.run()).summary
    assert summary.imported == 1
    assert world.inventory.held == {("ada", "lamp"): 2}


async def test_an_inventory_that_stays_away_ends_the_pass(world: World) -> None:
    world.original("ada")
    world.inventory.failing = 1000
    with pytest.raises(DependencyUnavailable):
        await world.run()
    assert world.imports.stored == {}


async def test_units_that_are_missing_are_named_again_by_a_repeat(world: World) -> None:
    world.original("ada", product="poster")
    world.inventory.sold_out = {"poster"}
    await world.run()
    named = list(world.report)
    assert world.kinds() == [DifferenceKind.UNITS_NOT_HELD]
    summary = (await world.run()).summary
    assert (summary.imported, summary.already) == (0, 1)
    assert world.report == named


async def test_a_cart_begun_meanwhile_stays_and_its_original_holds_nothing(world: World) -> None:
    for number in range(5):
        world.original(f"user-{number}")
    world.imports.begun = {CartKey(STORE, "user-3")}
    summary = (await world.run()).summary
    assert (summary.imported, summary.left) == (4, 1)
    assert world.kinds() == [DifferenceKind.CART_EXISTS]
    assert world.inventory.held["user-3", "lamp"] == 0


async def test_after_an_error_the_pass_is_repeated(world: World) -> None:
    for number in range(2 * PAGE):
        world.original(f"user-{number}")
    world.imports.down = True
    with pytest.raises(DependencyUnavailable):
        await world.run()
    world.imports.down = False
    summary = (await world.run()).summary
    assert summary.imported == 2 * PAGE
    # What the first pass has reserved was taken over.
    assert set(world.inventory.held.values()) == {2}
