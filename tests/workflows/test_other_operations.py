"""Update, remove and clear with a failure at each step: the stored state after their end."""

import asyncio
from typing import Any

import pytest

from models.documents import Cart
from models.errors import DependencyUnavailable
from models.operations import ClearCart, RemoveItem, UpdateQuantity
from models.outcomes import OperationResult, Outcome
from tests.support.call_faults import FOR_EVER, SHORT_DEADLINE, When
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.clear_cart import ClearCartWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow

# Operation -> units held after it, of ten; two are held before it.
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
        clear = ClearCart(**common, reason="user")
        handle = await bench.run(ClearCartWorkflow.run, buyer, clear)
    elif what == "remove":
        remove = RemoveItem(**common, product_id="headphones")
        handle = await bench.run(RemoveItemWorkflow.run, buyer, remove)
    else:
        update = UpdateQuantity(**common, product_id="headphones", quantity=HELD_AFTER[what])
        handle = await bench.run(UpdateQuantityWorkflow.run, buyer, update)
    return await handle.result()


async def assert_done(bench: Bench, buyer: Buyer, what: str) -> None:
    """One effect on stock, cart and events, however often the steps were tried."""
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
    """A buyer with two headphones in the cart."""
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer)).outcome is Outcome.COMMITTED
    return buyer


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("what", "step", "dependency"),
    [
        ("more", "load", "mongodb"),
        ("more", "reserve", "inventory"),
        ("more", "persist", "mongodb"),
        ("less", "persist", "mongodb"),
        ("less", "release", "inventory"),
        ("remove", "release", "inventory"),
        ("clear", "persist", "mongodb"),
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
    assert bench.faults.calls["reserve"] == 1  # by the add before
    assert await bench.shop.units("headphones") == (8, 2, 0)
    assert len(await bench.shop.records()) == 1


async def test_an_update_is_undone_if_the_line_changed_after_it_was_loaded(
    bench: Bench, buyer: Buyer
) -> None:
    arrived, go_on = bench.faults.hold("persist")
    update = asyncio.create_task(perform(bench, buyer, "more"))
    await asyncio.wait_for(arrived.wait(), 30)
    # Another run changes the line, as after a terminated run.
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
async def test_a_pivot_that_never_succeeds_changes_nothing(
    bench: Bench, buyer: Buyer, what: str
) -> None:
    bench.faults.fail("persist", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(bench, buyer, what, deadline_seconds=SHORT_DEADLINE)
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
async def test_a_pivot_whose_answer_was_lost_is_found_committed(
    bench: Bench, buyer: Buyer, what: str
) -> None:
    bench.faults.fail("persist", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(bench, buyer, what, deadline_seconds=SHORT_DEADLINE)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls["settle"] == 1
    await assert_done(bench, buyer, what)
