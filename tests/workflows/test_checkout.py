"""Checkouts and cancelled orders with a failure at each step: the stored state after their end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from models.errors import DependencyUnavailable
from models.events import CART_CHECKED_OUT, CART_CHECKOUT_EXPIRED
from models.operations import ApplyOrder, CancelCheckout, CancelOrder, Checkout
from models.orders import CancelRequest, OrderRequest
from models.outcomes import AbortReason, OperationResult, Outcome, RefusalCode
from models.upkeep.passes import PassInput, PassResult
from tests.support.call_faults import FOR_EVER, When
from tests.support.carts import end_checkout, end_holds, forget_holds
from tests.support.resets import reset_to_first_task
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_holds import HOLDS, cart_of, pass_over
from workflows import ids
from workflows.apply_order import ApplyOrderWorkflow
from workflows.cancel_checkout import CancelCheckoutWorkflow
from workflows.cancel_order import CancelOrderWorkflow
from workflows.checkout import CheckoutWorkflow
from workflows.upkeep.checkouts import EndCheckoutsWorkflow

UNAVAILABLE = DependencyUnavailable("mongodb", "no primary")
LOST = DependencyUnavailable("inventory", "the answer is lost")


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """A buyer with two headphones and a lamp in the cart."""
    await bench.shop.stock("lamp", 1)
    buyer = bench.shop.buyer()
    await bench.add(buyer, 2)
    await bench.add(buyer, 1, product="lamp")
    return buyer


async def check_out(bench: Bench, buyer: Buyer, **options: Any) -> OperationResult:
    operation = Checkout(**bench.common(buyer, "checkout", **options))
    return await (await bench.run(CheckoutWorkflow.run, buyer, operation)).result()


async def order(
    bench: Bench, buyer: Buyer, cart_id: str, checkout_id: str, **options: Any
) -> OperationResult:
    request = OrderRequest(
        order_id="order-1",
        cart_id=cart_id,
        checkout_id=checkout_id,
        cancellation=ids.operation_id(bench.shop.store_id, buyer.user_id, "cancel"),
    )
    operation = ApplyOrder(**bench.common(buyer, "order", key="order", **options), request=request)
    return await (await bench.run(ApplyOrderWorkflow.run, buyer, operation)).result()


async def cancel(
    bench: Bench, buyer: Buyer, cart_id: str, checkout_id: str, **options: Any
) -> OperationResult:
    request = CancelRequest(order_id="order-1", cart_id=cart_id, checkout_id=checkout_id)
    operation = CancelOrder(
        **bench.common(buyer, "cancel", key="cancel", **options), request=request
    )
    return await (await bench.run(CancelOrderWorkflow.run, buyer, operation)).result()


async def settled(bench: Bench, *, held: int, sold: int = 0) -> None:
    """The stock of headphones and lamps, a lamp for each two headphones; nothing is pending."""
    assert await bench.shop.units("headphones") == (10 - held - sold, held, sold)
    assert await bench.shop.units("lamp") == (1 - (held + sold) // 2, held // 2, sold // 2)
    await bench.shop.assert_consistent()
    assert not any(record.pending for record in await bench.shop.records())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "error"),
    [("load", UNAVAILABLE), ("reserve", LOST), ("persist", UNAVAILABLE)],
)
async def test_a_step_of_a_checkout_that_fails_once_has_its_effect_once(
    bench: Bench, buyer: Buyer, call: str, error: Exception, when: When
) -> None:
    await forget_holds(bench.shop)
    bench.faults.fail(call, when, error)
    result = await check_out(bench, buyer)
    assert result.outcome is Outcome.COMMITTED
    cart = await cart_of(buyer)
    assert cart.checkout is not None
    assert cart.checkout.checkout_id == result.operation_id
    await eventually(partial(settled, bench, held=2))
    events = [one.value for one in await bench.shop.events() if one.topic == CART_CHECKED_OUT]
    assert len({event["eventId"] for event in events}) == 1


@pytest.mark.parametrize(
    ("call", "when", "error"),
    [("reserve", "before", LOST), ("reserve", "after", LOST), ("persist", "before", UNAVAILABLE)],
)
async def test_a_checkout_that_is_undone_leaves_the_cart_as_it_was(
    bench: Bench, buyer: Buyer, call: str, when: When, error: Exception
) -> None:
    await forget_holds(bench.shop)
    before = await cart_of(buyer)
    bench.faults.fail(call, when, error, times=FOR_EVER)
    assert (await check_out(bench, buyer, deadline_seconds=3)).outcome is Outcome.ABORTED
    assert await cart_of(buyer) == before
    await eventually(partial(settled, bench, held=0))


async def test_a_checkout_that_was_reset_stays_as_it_was(bench: Bench, buyer: Buyer) -> None:
    operation = Checkout(**bench.common(buyer, "checkout"))
    run = await bench.run(CheckoutWorkflow.run, buyer, operation)
    await run.result()
    before = await cart_of(buyer)
    run_id = (await run.describe()).run_id
    temporal = bench.shop.world.temporal
    again = await reset_to_first_task(temporal, run.id, run_id)
    await temporal.get_workflow_handle(run.id, run_id=again).result()
    assert await cart_of(buyer) == before


async def test_a_frozen_cart_refuses_other_operations_and_keeps_its_holds(
    bench: Bench, buyer: Buyer
) -> None:
    await bench.add(buyer, 1, **HOLDS)
    await check_out(bench, buyer, **HOLDS)
    before = await cart_of(buyer)
    assert before.checkout is not None
    assert {line.hold_until for line in before.cart_items} == {before.checkout.expires_at}
    await end_holds(bench.shop, "nobody")
    assert (await pass_over(bench)).changed == 0
    result = await bench.add(buyer, 1)
    assert result.refusal is not None
    assert result.refusal.code is RefusalCode.CART_CHECKED_OUT
    assert await cart_of(buyer) == before


async def test_a_pass_ends_the_checkouts_whose_time_is_over(bench: Bench, buyer: Buyer) -> None:
    other = bench.shop.buyer()
    await bench.add(other, 1)
    for one in (buyer, other):
        await check_out(bench, one, **HOLDS)
    await end_checkout(bench.shop, buyer.user_id)
    result: PassResult = await bench.shop.world.temporal.execute_workflow(
        EndCheckoutsWorkflow.run, PassInput(), id=f"thaw-{uuid4()}", task_queue=bench.task_queue
    )
    cart = await cart_of(buyer)
    assert result.changed <= 1  # or the stack's own schedule was faster
    assert (cart.checkout, cart.units) == (None, {"headphones": 2, "lamp": 1})
    assert (await cart_of(other)).checkout is not None

    async def published() -> None:
        [event] = [e for e in await bench.shop.events() if e.topic == CART_CHECKOUT_EXPIRED]
        assert event.value["reason"] == "expired"

    await eventually(published)


async def test_a_pass_ends_each_checkout_by_the_settings_of_its_store(bench: Bench) -> None:
    short = replace(bench, shop=Shop(bench.shop.world))
    await short.shop.stock("headphones", 10)
    await short.shop.sets(hold_minutes=30, expiry_days=2)
    buyers = []
    for one in (bench, short):
        buyers.append(buyer := one.shop.buyer())
        await one.add(buyer, 2)
        await check_out(one, buyer)
    began = datetime.now(UTC)
    for one, buyer in zip((bench, short), buyers, strict=True):
        await end_checkout(one.shop, buyer.user_id)
    await bench.shop.world.temporal.execute_workflow(
        EndCheckoutsWorkflow.run, PassInput(), id=f"thaw-{uuid4()}", task_queue=bench.task_queue
    )
    usual, held = [await cart_of(buyer) for buyer in buyers]
    assert (usual.checkout, held.checkout) == (None, None)
    assert usual.holds_end is None
    assert (usual.expire_at - began).days == bench.shop.world.settings.cart_expiry_days
    assert held.holds_end is not None
    assert held.holds_end >= began + timedelta(minutes=30) - timedelta(milliseconds=1)
    assert (held.expire_at - began).days == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "error"), [("load", UNAVAILABLE), ("persist", UNAVAILABLE), ("release", LOST)]
)
async def test_a_paid_checkout_is_booked_once_whatever_fails(
    bench: Bench, buyer: Buyer, call: str, error: Exception, when: When
) -> None:
    cart_id = str((await cart_of(buyer)).id)
    checkout_id = (await check_out(bench, buyer)).operation_id
    bench.faults.fail(call, when, error)
    assert (await order(bench, buyer, cart_id, checkout_id)).outcome is Outcome.COMMITTED
    assert (await order(bench, buyer, cart_id, checkout_id)).outcome is Outcome.REPLAYED
    await eventually(partial(settled, bench, held=0, sold=2))
    assert await buyer.cart() is None


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "error"), [("load", UNAVAILABLE), ("persist", UNAVAILABLE), ("release", LOST)]
)
async def test_a_cancelled_order_gives_its_units_back_once_whatever_fails(
    bench: Bench, buyer: Buyer, call: str, error: Exception, when: When
) -> None:
    cart_id = str((await cart_of(buyer)).id)
    checkout_id = (await check_out(bench, buyer)).operation_id
    await order(bench, buyer, cart_id, checkout_id)
    await eventually(partial(settled, bench, held=0, sold=2))
    bench.faults.fail(call, when, error)
    assert (await cancel(bench, buyer, cart_id, checkout_id)).outcome is Outcome.COMMITTED
    assert (await cancel(bench, buyer, cart_id, checkout_id)).outcome is Outcome.REPLAYED
    await eventually(partial(settled, bench, held=0))


async def test_an_order_is_cancelled_only_once_its_units_are_booked(
    bench: Bench, buyer: Buyer
) -> None:
    """Else the inventory would book them after it had nothing to give back."""
    cart_id = str((await cart_of(buyer)).id)
    checkout_id = (await check_out(bench, buyer)).operation_id
    bench.faults.fail("release", "before", LOST, times=FOR_EVER)
    await bench.shop.fault("release", "error", times=1000, storeId=bench.shop.store_id)
    await order(bench, buyer, cart_id, checkout_id)
    result = await cancel(bench, buyer, cart_id, checkout_id)
    assert (result.outcome, result.reason) == (
        Outcome.ABORTED,
        AbortReason.INVENTORY_UNAVAILABLE,
    )
    bench.faults.heal()
    await bench.shop.world.inventory.delete("/faults", params={"storeId": bench.shop.store_id})
    await eventually(partial(settled, bench, held=0, sold=2), timeout=60)
    assert (await cancel(bench, buyer, cart_id, checkout_id)).outcome is Outcome.COMMITTED
    await eventually(partial(settled, bench, held=0))


async def test_an_order_that_was_cancelled_before_is_not_applied(
    bench: Bench, buyer: Buyer
) -> None:
    cart_id = str((await cart_of(buyer)).id)
    checkout_id = (await check_out(bench, buyer)).operation_id
    assert (await cancel(bench, buyer, cart_id, checkout_id)).outcome is Outcome.COMMITTED
    assert (await cart_of(buyer)).checkout is None
    result = await order(bench, buyer, cart_id, checkout_id)
    assert result.refusal is not None
    assert result.refusal.code is RefusalCode.ORDER_CANCELLED
    await eventually(partial(settled, bench, held=2))


async def test_a_checkout_that_its_user_cancels_can_be_begun_again(
    bench: Bench, buyer: Buyer
) -> None:
    first = await check_out(bench, buyer)
    operation = CancelCheckout(**bench.common(buyer, "thaw"), reason="user")
    await (await bench.run(CancelCheckoutWorkflow.run, buyer, operation)).result()
    second = await check_out(bench, buyer)
    assert second.outcome is Outcome.COMMITTED
    assert second.operation_id != first.operation_id
