"""Merges of a guest's cart with a failure at each step: the stored state after their end."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from models.actor import ActorType
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.operations import MergeCart
from models.outcomes import OperationResult, Outcome
from tests.support.call_faults import FOR_EVER, SHORT_DEADLINE, When
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench, SagaHandle
from tests.workflows.test_holds import HOLDS
from workflows import ids
from workflows.merge_cart import MergeCartWorkflow


async def start(
    bench: Bench, buyer: Buyer, guest: Buyer, *, strategy: str = "sum", **options: Any
) -> SagaHandle:
    common = bench.common(buyer, f"merge {strategy}", **options)
    guest_operation = ids.operation_id(bench.shop.store_id, guest.user_id, common["operation_id"])
    merge = MergeCart.model_validate(
        common
        | {
            "guest_id": guest.user_id,
            "guest_operation_id": guest_operation,
            "strategy": strategy,
        }
    )
    return await bench.run(MergeCartWorkflow.run, buyer, merge)


async def merge(bench: Bench, buyer: Buyer, guest: Buyer, **options: Any) -> OperationResult:
    handle = await start(bench, buyer, guest, **options)
    return await handle.result()


@pytest.fixture
async def guest(bench: Bench) -> Buyer:
    """A guest with three of ten headphones in the cart; all others are in other carts."""
    guest = bench.shop.guest()
    assert (await bench.add(guest, 3)).outcome is Outcome.COMMITTED
    return guest


@pytest.fixture
async def buyer(bench: Bench, guest: Buyer) -> Buyer:
    """A buyer with two headphones in the cart. The last five are in another cart."""
    assert guest.user_id
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer, 2)).outcome is Outcome.COMMITTED
    assert (await bench.add(bench.shop.buyer(), 5)).outcome is Outcome.COMMITTED
    assert await bench.shop.units("headphones") == (0, 10, 0)
    return buyer


async def settled(bench: Bench) -> None:
    """Nothing is pending, and each cart's units are held."""

    async def quiet() -> None:
        await bench.shop.assert_consistent()
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(quiet, timeout=30)


async def assert_merged(bench: Bench, buyer: Buyer, guest: Buyer, units: int) -> None:
    """One effect: the buyer's cart has the units, the guest's has ended with one event."""
    await settled(bench)
    cart = await buyer.cart()
    assert cart is not None
    assert cart.units == {"headphones": units}
    assert await guest.cart() is None
    merged = [one for one in await bench.shop.events() if one.topic == "cart.merged"]
    assert len({one.value["eventId"] for one in merged}) == 1
    value = merged[0].value
    assert (value["mergedInto"], value["userId"]) == (str(cart.id), guest.user_id)
    assert value["items"] == [{"productId": "headphones", "quantity": 3}]
    records = await OperationRecord.find(
        {"storeId": bench.shop.store_id, "userId": guest.user_id, "operation": "MergeCart"}
    ).to_list()
    [record] = records
    assert (record.state, record.reason) == ("committed", "cart_merged")
    assert record.actor.type is ActorType.GUEST


async def assert_apart(bench: Bench, buyer: Buyer, guest: Buyer) -> None:
    """No effect: both carts and their holds are as before, and the guest's can be changed."""
    await settled(bench)
    for one, units in ((buyer, 2), (guest, 3)):
        cart = await one.cart()
        assert cart is not None
        assert (cart.version, cart.units) == (1, {"headphones": units})
        assert (await bench.shop.holds())[one.user_id, "headphones"] == units


async def test_the_guests_units_move_though_no_unit_is_free(
    bench: Bench, buyer: Buyer, guest: Buyer
) -> None:
    result = await merge(bench, buyer, guest)
    assert result.outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)
    assert await bench.shop.units("headphones") == (0, 10, 0)


@pytest.mark.parametrize(
    ("strategy", "units", "free"), [("max", 3, 2), ("keep", 2, 3), ("replace", 3, 2)]
)
async def test_what_is_not_needed_becomes_free(
    bench: Bench, buyer: Buyer, guest: Buyer, *, strategy: str, units: int, free: int
) -> None:
    result = await merge(bench, buyer, guest, strategy=strategy)
    assert result.outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, units)
    assert await bench.shop.units("headphones") == (free, 10 - free, 0)


async def test_a_user_without_a_cart_gets_the_guests(bench: Bench, guest: Buyer) -> None:
    buyer = bench.shop.buyer()
    assert (await merge(bench, buyer, guest)).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 3)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "dependency"),
    [
        ("load", "mongodb"),
        ("claim", "mongodb"),
        ("transfer", "inventory"),
        ("persist", "mongodb"),
        ("publish", "kafka"),
        ("wake_relay", "temporal"),
    ],
)
async def test_a_step_that_fails_once_has_its_effect_once(
    bench: Bench, buyer: Buyer, guest: Buyer, *, step: str, dependency: str, when: When
) -> None:
    bench.faults.fail(step, when, DependencyUnavailable(dependency))
    result = await merge(bench, buyer, guest)
    assert result.outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "dependency"),
    [("claim", "mongodb"), ("transfer", "inventory"), ("persist", "mongodb")],
)
async def test_a_step_that_keeps_failing_leaves_both_carts_as_they_are(
    bench: Bench, buyer: Buyer, guest: Buyer, *, step: str, dependency: str, when: When
) -> None:
    bench.faults.fail(step, when, DependencyUnavailable(dependency), times=FOR_EVER)
    result = await merge(bench, buyer, guest, deadline_seconds=SHORT_DEADLINE)
    bench.faults.heal()
    if (step, when) == ("persist", "after"):  # it was done, and only its answer was lost
        await assert_merged(bench, buyer, guest, 5)
        return
    assert result.outcome is Outcome.ABORTED
    await assert_apart(bench, buyer, guest)
    assert (await bench.add(guest, 0 + 1)).outcome is not Outcome.COMMITTED  # no unit is free
    assert (await merge(bench, buyer, guest)).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)


async def test_a_guests_change_in_the_middle_is_refused_and_has_no_effect(
    bench: Bench, buyer: Buyer, guest: Buyer
) -> None:
    """Between the move of the units and the pivot."""
    arrived, go_on = bench.faults.hold("persist")
    merging = await start(bench, buyer, guest)
    await asyncio.wait_for(arrived.wait(), 30)
    assert (await bench.shop.holds())[buyer.user_id, "headphones"] == 5
    cart = await guest.cart()
    assert cart is not None
    removed = await guest.remove(str(cart.id), "headphones")  # by the stack's own worker
    assert removed.status_code == 503
    assert removed.json()["code"] == "conflict"
    go_on.set()
    assert (await merging.result()).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)


async def test_an_expiry_in_the_middle_waits(bench: Bench, buyer: Buyer, guest: Buyer) -> None:
    arrived, go_on = bench.faults.hold("persist")
    merging = await start(bench, buyer, guest)
    await asyncio.wait_for(arrived.wait(), 30)
    stored = await guest.cart()
    assert stored is not None
    assert stored.is_blocked("another", stored.updated_at)
    go_on.set()
    assert (await merging.result()).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)


async def test_a_cart_that_changed_after_it_was_loaded_is_left_alone(
    bench: Bench, buyer: Buyer, guest: Buyer
) -> None:
    arrived, go_on = bench.faults.hold("claim")
    merging = await start(bench, buyer, guest)
    await asyncio.wait_for(arrived.wait(), 30)
    cart = await guest.cart()
    assert cart is not None
    assert (await guest.update(str(cart.id), "headphones", 1)).status_code == 200
    go_on.set()
    result = await merging.result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "conflict")
    await settled(bench)
    assert (await merge(bench, buyer, guest)).outcome is Outcome.COMMITTED
    cart = await buyer.cart()
    assert cart is not None
    assert cart.units == {"headphones": 3}


async def test_a_second_merge_finds_the_first_one(bench: Bench, buyer: Buyer, guest: Buyer) -> None:
    key = uuid4().hex
    assert (await merge(bench, buyer, guest, key=key)).outcome is Outcome.COMMITTED
    assert (await merge(bench, buyer, guest, key=key)).outcome is Outcome.REPLAYED
    assert (await merge(bench, buyer, guest)).outcome is Outcome.UNCHANGED
    await assert_merged(bench, buyer, guest, 5)


async def test_two_users_cannot_both_have_a_guests_cart(
    bench: Bench, buyer: Buyer, guest: Buyer
) -> None:
    other = bench.shop.buyer()
    first, second = await asyncio.gather(
        merge(bench, buyer, guest), merge(bench, other, guest), return_exceptions=True
    )
    found = [one.outcome for one in (first, second) if isinstance(one, OperationResult)]
    assert found.count(Outcome.COMMITTED) == 1
    await settled(bench)
    assert await guest.cart() is None
    carts = await Cart.find({"storeId": bench.shop.store_id}).to_list()
    assert sum(cart.quantity for cart in carts) == 10


async def test_without_any_cart_there_is_none(bench: Bench) -> None:
    result = await merge(bench, bench.shop.buyer(), bench.shop.guest())
    assert result.refusal is not None
    assert result.refusal.code == "cart_not_found"


async def test_an_inventory_that_moves_no_units_is_asked_for_new_ones(
    bench: Bench, guest: Buyer
) -> None:
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer, 2)).outcome is Outcome.COMMITTED
    await bench.shop.fault("transfer", "answer", status=405, times=10, storeId=bench.shop.store_id)
    assert (await merge(bench, buyer, guest)).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 5)
    assert await bench.shop.units("headphones") == (5, 5, 0)


@pytest.mark.parametrize("status", [404, 501])
async def test_what_such_an_inventory_does_not_have_is_named(
    bench: Bench, buyer: Buyer, guest: Buyer, *, status: int
) -> None:
    """No unit is free, so nothing can be reserved before the guest's units are released."""
    await bench.shop.fault(
        "transfer", "answer", status=status, times=10, storeId=bench.shop.store_id
    )
    assert (await merge(bench, buyer, guest)).outcome is Outcome.COMMITTED
    await assert_merged(bench, buyer, guest, 2)
    assert await bench.shop.units("headphones") == (3, 7, 0)


async def test_moved_units_have_the_time_to_live_of_reserved_ones(
    bench: Bench, buyer: Buyer, guest: Buyer
) -> None:
    policy = Policy(**HOLDS)
    assert (await merge(bench, buyer, guest, **HOLDS)).outcome is Outcome.COMMITTED
    actions = bench.shop.world.carts.client["inventory"]["actions"]
    moved = await actions.find_one({"storeId": bench.shop.store_id, "from": {"$exists": True}})
    assert moved is not None
    assert moved["quantity"] == 3
    assert moved["endsAt"] - moved["at"] == timedelta(seconds=policy.reserved_seconds or 0)
