"""Holds that end: their units are given back by a pass, and reserved again when they are needed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from models.documents import Cart
from models.errors import DependencyUnavailable
from models.events import CART_HOLD_EXPIRED
from models.operations import ExtendHolds
from models.outcomes import AbortReason, MissingUnits, OperationResult, Outcome
from models.upkeep.passes import PassInput, PassResult
from tests.support.call_faults import SHORT_DEADLINE
from tests.support.carts import end_holds
from tests.support.schedules import paused_schedules
from tests.support.shop import Buyer, Event, World
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_expiry import assert_settled
from workflows.extend_holds import ExtendHoldsWorkflow
from workflows.upkeep.holds import EndHoldsWorkflow

HOLDS: dict[str, Any] = {"hold_seconds": 600, "hold_max_seconds": 3600}


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """A buyer with three headphones and a lamp in the cart, whose holds have ended."""
    await bench.shop.stock("lamp", 1)
    buyer = bench.shop.buyer()
    for product, units in (("headphones", 3), ("lamp", 1)):
        result = await bench.add(buyer, units, product=product, **HOLDS)
        assert result.outcome is Outcome.COMMITTED
    await end_holds(bench.shop, buyer.user_id)
    return buyer


async def pass_over(bench: Bench) -> PassResult:
    """Runs one pass over the holds of all stores."""
    result: PassResult = await bench.shop.world.temporal.execute_workflow(
        EndHoldsWorkflow.run, PassInput(), id=f"holds-{uuid4()}", task_queue=bench.task_queue
    )
    return result


async def end_all_holds(bench: Bench) -> None:
    """Runs one pass, and waits until the inventory has the units back."""
    await pass_over(bench)
    await eventually(partial(assert_settled, bench.shop), timeout=60)


async def extend(bench: Bench, buyer: Buyer, **options: Any) -> OperationResult:
    cart = await buyer.cart()
    assert cart is not None
    common = bench.common(buyer, "extend", **HOLDS | options)
    operation = ExtendHolds(**common, cart_id=str(cart.id))
    return await (await bench.run(ExtendHoldsWorkflow.run, buyer, operation)).result()


async def cart_of(buyer: Buyer) -> Cart:
    cart = await buyer.cart()
    assert cart is not None
    return cart


async def test_a_pass_gives_back_the_units_and_leaves_the_lines(bench: Bench, buyer: Buyer) -> None:
    other = bench.shop.buyer()
    await bench.add(other, 2, **HOLDS)
    before = await cart_of(buyer)

    assert (await pass_over(bench)).changed == 1
    assert (await pass_over(bench)).changed == 0

    cart = await cart_of(buyer)
    assert (cart.units, cart.held_units, cart.version) == (before.units, {}, before.version + 1)
    assert (await cart_of(other)).held_units == {"headphones": 2}
    await eventually(partial(assert_settled, bench.shop), timeout=60)
    assert await bench.shop.units("headphones") == (8, 2, 0)
    assert await bench.shop.units("lamp") == (1, 0, 0)
    lines = (await buyer.get()).json()["cartItems"]
    assert [line["availabilityStatus"] for line in lines] == ["hold_expired"] * 2

    async def published() -> Event:
        [event] = [one for one in await bench.shop.events() if one.topic == CART_HOLD_EXPIRED]
        return event

    event = await eventually(published)
    assert (event.key, event.value["version"]) == (str(cart.id), cart.version)
    assert event.value["items"] == [
        {"productId": "headphones", "quantity": 3},
        {"productId": "lamp", "quantity": 1},
    ]


async def test_an_extension_reserves_again_what_has_ended(bench: Bench, buyer: Buyer) -> None:
    await end_all_holds(bench)

    assert (await extend(bench, buyer)).outcome is Outcome.COMMITTED

    cart = await cart_of(buyer)
    assert cart.held_units == cart.units == {"headphones": 3, "lamp": 1}
    assert cart.holds_end is not None
    assert cart.holds_end > datetime.now(UTC) + timedelta(minutes=9)
    await bench.shop.assert_consistent()


async def test_an_extension_that_lacks_units_names_them_and_holds_nothing(
    bench: Bench, buyer: Buyer
) -> None:
    await end_all_holds(bench)
    await bench.shop.stock("headphones", 1)
    await bench.shop.stock("lamp", 0)

    result = await extend(bench, buyer)

    assert result.refusal is not None
    assert result.refusal.lines == (
        MissingUnits(product_id="headphones", wanted=3, available=1),
        MissingUnits(product_id="lamp", wanted=1, available=0),
    )
    assert (await cart_of(buyer)).held_units == {}
    await eventually(partial(assert_settled, bench.shop), timeout=60)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_extension_that_is_not_stored_gives_back_all_products(
    bench: Bench, buyer: Buyer, when: Any
) -> None:
    """Or it turns out to be stored."""
    await end_all_holds(bench)
    bench.faults.fail("persist", when, DependencyUnavailable("mongodb"), times=1000)

    result = await extend(bench, buyer, deadline_seconds=SHORT_DEADLINE)

    is_stored = when == "after"
    assert result.outcome is (Outcome.COMMITTED if is_stored else Outcome.ABORTED)
    assert bool((await cart_of(buyer)).held_units) is is_stored
    await eventually(partial(assert_settled, bench.shop), timeout=60)


async def test_a_product_that_cannot_be_reserved_gives_back_the_others(
    bench: Bench, buyer: Buyer
) -> None:
    await end_all_holds(bench)
    await bench.shop.stock("lamp", 0)
    assert (await extend(bench, buyer)).outcome is Outcome.REJECTED
    await eventually(partial(assert_settled, bench.shop), timeout=60)
    assert await bench.shop.units("headphones") == (10, 0, 0)


async def test_an_add_to_a_line_whose_hold_ends_meanwhile_holds_all_its_units(
    bench: Bench, buyer: Buyer
) -> None:
    """The units of the add are reserved, and the pass comes before they are stored."""
    reserving, go_on = bench.faults.hold("persist")
    add = await bench.start(buyer, 2, **HOLDS)
    await reserving.wait()
    assert (await pass_over(bench)).changed == 1
    go_on.set()
    assert (await add.result()).outcome is Outcome.COMMITTED
    assert (await cart_of(buyer)).held_units == {"headphones": 5}
    await eventually(partial(assert_settled, bench.shop), timeout=60)


async def test_a_cart_that_was_changed_since_it_was_found_keeps_its_holds(
    bench: Bench, buyer: Buyer
) -> None:
    await bench.add(buyer, 1, **HOLDS)
    assert (await pass_over(bench)).changed == 0
    assert (await cart_of(buyer)).held_units == {"headphones": 4, "lamp": 1}


async def test_units_that_are_still_to_be_given_back_are_not_missing(
    bench: Bench, buyer: Buyer
) -> None:
    """The hold has ended, and the inventory does not know yet: the same request succeeds later."""
    await bench.shop.fault("release", "error", times=1000, storeId=bench.shop.store_id)
    await pass_over(bench)
    result = await extend(bench, buyer)
    assert (result.outcome, result.reason) == (
        Outcome.ABORTED,
        AbortReason.INVENTORY_UNAVAILABLE,
    )
    await bench.shop.world.inventory.delete("/faults", params={"storeId": bench.shop.store_id})
    await eventually(partial(assert_settled, bench.shop), timeout=60)
    assert (await extend(bench, buyer)).outcome is Outcome.COMMITTED
    assert await bench.shop.units("lamp") == (0, 1, 0)


async def test_a_change_that_was_under_way_comes_after_the_end_of_the_holds(
    bench: Bench, buyer: Buyer
) -> None:
    """Its saga has started before the pass, and commits after it."""
    arrived, go_on = bench.faults.hold("persist")
    saga = await bench.start(buyer, 1, **HOLDS)
    async with asyncio.timeout(30):
        await arrived.wait()
    assert (await pass_over(bench)).changed == 1
    go_on.set()
    assert (await saga.result()).outcome is Outcome.COMMITTED
    lapsed, added = (await bench.shop.records())[-2:]  # in the order in which relays send them
    assert (lapsed.operation, added.operation) == ("LapseHolds", "AddItem")
    assert lapsed.version is not None
    assert added.version == lapsed.version + 1
