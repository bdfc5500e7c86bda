"""A pass of `cart import`: holds, an inventory that is away, pages that are under way at a time."""

from typing import Any, cast

import pytest

from adapters.inventory import InventoryClient
from adapters.mongo.imports import ImportedCarts
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.stores import StoreRegistry
from cli.import_.differences import Difference, DifferenceKind
from cli.import_.holds import CALLS_AT_ONCE, PAUSES, Holds
from cli.import_.run import PAGE, Pass, Target
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.errors import DependencyUnavailable
from models.limits import Policy
from tests.fakes.imports import (
    STORE,
    FakeImports,
    FakeInventory,
    FakeStores,
    each,
    no_settings,
    original,
)


class World:
    """The original carts, and what a pass over them does."""

    def __init__(self) -> None:
        self.inventory = FakeInventory()
        self.imports = FakeImports()
        self.originals: list[dict[str, Any]] = []
        self.report: list[Difference] = []

    def original(self, user: str, units: int = 2, product: str = "lamp") -> None:
        self.originals.append(original(user, units, product))

    async def run(self, *, apply: bool = True) -> Pass:
        self.report.clear()
        holds = Holds(
            cast("InventoryClient", self.inventory),
            cast("StoreRegistry", FakeStores()),
            pauses=[0.0] * len(PAUSES),
        )
        target = Target(cast("ImportedCarts", self.imports), holds if apply else None)
        policies = StorePolicies(Policy(), no_settings)
        actor = Actor(type=ActorType.OPERATOR, id="ada")
        one = Pass(target, policies, actor, self.report.append)
        async for _ in one.run(each(self.originals)):
            pass
        return one

    def kinds(self) -> list[DifferenceKind]:
        return [one.kind for one in self.report]


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
