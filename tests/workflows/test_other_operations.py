"""Update, remove and clear with a failure at each step: what is stored when they have ended."""

import asyncio
from typing import Any

import pytest

from models.cart import Cart
from models.errors import DependencyUnavailable
from models.messages import (
    ClearCartInput,
    OperationResult,
    Outcome,
    RemoveItemInput,
    UpdateQuantityInput,
)
from tests.support.faults import When
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.clear_cart import ClearCartWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow

FOR_EVER = 1000
# Operation -> units of the ten that are held when it is done; two are before.
HELD_AFTER = {"more": 5, "less": 1, "remove": 0, "clear": 0}
TOPICS = {
    "more": "cart.item.updated",
    "less": "cart.item.updated",
    "remove": "cart.item.removed",
    "clear": "cart.cleared",
}


async def perform(bench: Bench, buyer: Buyer, what: str, **options: Any) -> OperationResult:
    """Runs an operation on the buyer's cart of two headphones."""
    cart = await buyer.cart()
    assert cart is not None
    common = bench.common(buyer, what, **options) | {"cart_id": str(cart.id)}
    if what == "clear":
        clear = ClearCartInput(**common, reason="user")
        handle = await bench.run(ClearCartWorkflow.run, buyer, clear)
    elif what == "remove":
        remove = RemoveItemInput(**common, product_id="headphones")
        handle = await bench.run(RemoveItemWorkflow.run, buyer, remove)
    else:
        update = UpdateQuantityInput(**common, product_id="headphones", quantity=HELD_AFTER[what])
        handle = await bench.run(UpdateQuantityWorkflow.run, buyer, update)
    return await handle.result()


async def assert_done(bench: Bench, buyer: Buyer, what: str) -> None:
    """One effect on stock, cart and events, however often its steps were tried."""
    held = HELD_AFTER[what]

    async def settled() -> None:
        assert await bench.shop.units("headphones") == (10 - held, held, 0)
        await bench.shop.assert_consistent()
        records = await bench.shop.records()
        assert not any(record.pending for record in records)
        assert [record.state for record in records] == ["committed"] * 2
        events = [event for event in await bench.shop.events() if event.topic == TOPICS[what]]
        assert {event.value["eventId"] for event in events} == {
            effect.id for effect in records[1].effects if effect.kind == "event"
        }

    await eventually(settled)
    cart = await buyer.cart()
    if what == "clear":
        assert cart is None
    else:
        assert cart is not None
        assert (cart.version, cart.quantity) == (2, held)


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """With two headphones in the cart."""
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer)).outcome is Outcome.COMMITTED
    return buyer


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("what", "step", "dependency"),
    [
        ("more", "load", "mongodb"),
        ("more", "reserve", "inventory"),
        ("more", "commit", "mongodb"),
        ("less", "commit", "mongodb"),
        ("less", "release", "inventory"),
        ("remove", "release", "inventory"),
        ("clear", "commit", "mongodb"),
        ("clear", "drop", "redis"),
        ("clear", "release", "inventory"),
    ],
)
async def test_a_step_that_fails_once_has_its_effect_once(
    bench: Bench, buyer: Buyer, *, what: str, step: str, dependency: str, when: When
) -> None:
    bench.faults.fail(step, when, DependencyUnavailable(dependency))
    result = await perform(bench, buyer, what)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls[step] >= 1
    await assert_done(bench, buyer, what)


async def test_a_load_that_keeps_failing_changes_nothing(bench: Bench, buyer: Buyer) -> None:
    bench.faults.fail("load", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(bench, buyer, "more")
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "mongodb_unavailable")
    assert bench.faults.calls["reserve"] == 1  # the first add's
    assert await bench.shop.units("headphones") == (8, 2, 0)
    assert len(await bench.shop.records()) == 1


async def test_a_line_that_moved_on_is_not_set_to_what_was_not_reserved(
    bench: Bench, buyer: Buyer
) -> None:
    arrived, go_on = bench.faults.hold("commit")
    update = asyncio.create_task(perform(bench, buyer, "more"))
    await asyncio.wait_for(arrived.wait(), 10)
    # Somebody else's run, as after a terminated one: it changes the line behind this saga's back.
    cart = await buyer.cart()
    assert cart is not None
    await Cart.find_one({"_id": cart.id}).update(
        {"$set": {"version": 2, "cartItems.0.productQuantity": 1, "quantity": 1}}
    )
    go_on.set()
    result = await update
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "conflict")

    async def given_back() -> None:
        assert await bench.shop.units("headphones") == (8, 2, 0)

    await eventually(given_back)


@pytest.mark.parametrize("what", ["more", "less", "remove", "clear"])
async def test_a_pivot_that_never_succeeds_leaves_all_as_it_was(
    bench: Bench, buyer: Buyer, what: str
) -> None:
    bench.faults.fail("commit", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(bench, buyer, what, deadline_seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")

    async def as_it_was() -> None:
        assert await bench.shop.units("headphones") == (8, 2, 0)
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(as_it_was)
    await bench.shop.assert_consistent()
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.quantity) == (1, 2)
    assert len(await bench.shop.events()) == 1


@pytest.mark.parametrize("what", ["more", "less", "remove", "clear"])
async def test_a_pivot_that_committed_unheard_is_found_by_its_settling(
    bench: Bench, buyer: Buyer, what: str
) -> None:
    bench.faults.fail("commit", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(bench, buyer, what, deadline_seconds=0.5)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls["settle"] == 1
    await assert_done(bench, buyer, what)
