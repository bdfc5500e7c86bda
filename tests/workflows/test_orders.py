"""Orders that reserve missing units, with a failure at each step: nothing is sold twice, nothing
stays reserved."""

import asyncio
from functools import partial

import pytest

from models.errors import DependencyUnavailable, NotSent
from models.operations import ApplyOrder
from models.orders import OrderedLine, OrderRequest
from models.outcomes import AbortReason, OperationResult, Outcome
from tests.support.call_faults import FOR_EVER, When
from tests.support.resets import reset_to_first_task
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.apply_order import ApplyOrderWorkflow

LOST = DependencyUnavailable("inventory", "the answer is lost")
NOT_SENT = NotSent("inventory", "circuit open")
UNAVAILABLE = DependencyUnavailable("mongodb", "no primary")
IN_CART, ORDERED = 2, 5
"""Headphones; the stock is ten."""


async def order(
    bench: Bench, buyer: Buyer, cart_id: str, units: int = ORDERED, *, deadline_seconds: float = 30
) -> OperationResult:
    """Applies the order of headphones and two lamps, as each delivery of its event does."""
    items = (
        OrderedLine(product_id="headphones", quantity=units),
        OrderedLine(product_id="lamp", quantity=2),
    )
    request = ApplyOrder(
        **bench.common(buyer, "order", key="order-1", deadline_seconds=deadline_seconds),
        request=OrderRequest(order_id="order-1", cart_id=cart_id, items=items),
    )
    handle = await bench.run(ApplyOrderWorkflow.run, buyer, request)
    return await handle.result()


async def filled(bench: Bench) -> tuple[Buyer, str]:
    """A buyer with two headphones in the cart."""
    await bench.shop.stock("lamp", 2)
    buyer = bench.shop.buyer()
    added = await bench.add(buyer, IN_CART)
    assert added.cart_id is not None
    return buyer, added.cart_id


async def sold(bench: Bench, headphones: int, lamps: int, *, held: int = 0) -> None:
    assert await bench.shop.units("headphones") == (10 - headphones - held, held, headphones)
    assert await bench.shop.units("lamp") == (2 - lamps, 0, lamps)
    assert not any(record.pending for record in await bench.shop.records())
    await bench.shop.assert_consistent()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("call", "error"),
    [("load", UNAVAILABLE), ("reserve", LOST), ("persist", UNAVAILABLE), ("release", LOST)],
)
async def test_a_step_that_fails_once_has_its_effect_once(
    bench: Bench, call: str, error: Exception, when: When
) -> None:
    buyer, cart_id = await filled(bench)
    bench.faults.fail(call, when, error)
    assert (await order(bench, buyer, cart_id)).outcome is Outcome.COMMITTED
    await eventually(partial(sold, bench, ORDERED, 2))


@pytest.mark.parametrize(
    ("call", "when", "error", "reason"),
    [
        ("reserve", "before", LOST, AbortReason.INVENTORY_UNAVAILABLE),
        ("reserve", "after", LOST, AbortReason.INVENTORY_UNAVAILABLE),
        ("persist", "before", UNAVAILABLE, AbortReason.DEADLINE),
    ],
)
async def test_an_order_that_is_undone_keeps_nothing_and_is_applied_by_a_retry(
    bench: Bench, call: str, when: When, error: Exception, reason: AbortReason
) -> None:
    buyer, cart_id = await filled(bench)
    bench.faults.fail(call, when, error, times=FOR_EVER)
    result = await order(bench, buyer, cart_id, deadline_seconds=3)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, reason)
    await eventually(partial(sold, bench, 0, 0, held=IN_CART))
    bench.faults.heal()
    assert (await order(bench, buyer, cart_id)).outcome is Outcome.COMMITTED
    await eventually(partial(sold, bench, ORDERED, 2))


async def test_without_an_inventory_an_order_leaves_nothing_to_release(bench: Bench) -> None:
    buyer, cart_id = await filled(bench)
    bench.faults.fail("reserve", "before", NOT_SENT, times=FOR_EVER)
    assert (await order(bench, buyer, cart_id)).outcome is Outcome.ABORTED
    [undone] = [one for one in await bench.shop.records() if one.state == "aborted"]
    assert undone.effects == []


async def test_an_order_of_what_the_cart_has_needs_no_reservation(bench: Bench) -> None:
    buyer, cart_id = await filled(bench)
    calls = bench.faults.calls["reserve"]
    items = (OrderedLine(product_id="headphones", quantity=1),)
    request = ApplyOrder(
        **bench.common(buyer, "order"),
        request=OrderRequest(order_id="order-1", cart_id=cart_id, items=items),
    )
    handle = await bench.run(ApplyOrderWorkflow.run, buyer, request)
    assert (await handle.result()).outcome is Outcome.COMMITTED
    assert bench.faults.calls["reserve"] == calls
    await eventually(partial(sold, bench, 1, 0, held=1))


async def test_a_part_is_booked_where_there_is_no_more(bench: Bench) -> None:
    buyer, cart_id = await filled(bench)
    result = await order(bench, buyer, cart_id, units=11)
    assert result.outcome is Outcome.COMMITTED
    assert result.short == {"headphones": 1}
    await eventually(partial(sold, bench, 10, 2))


async def test_a_reset_order_gives_back_what_its_first_run_has_reserved(bench: Bench) -> None:
    """The run that is reset takes no steps, so it does not know what the first has reserved."""
    buyer, cart_id = await filled(bench)
    arrived, go_on = bench.faults.hold("persist")
    temporal = bench.shop.world.temporal
    ordering = asyncio.create_task(order(bench, buyer, cart_id))
    await arrived.wait()
    assert await bench.shop.units("lamp") == (0, 2, 0)
    run = await temporal.get_workflow_handle(buyer.workflow_id).describe()
    bench.faults.fail("persist", "before", UNAVAILABLE, times=FOR_EVER)
    assert run.run_id is not None
    again = await reset_to_first_task(temporal, buyer.workflow_id, run.run_id)
    go_on.set()
    result: OperationResult = await temporal.get_workflow_handle(
        buyer.workflow_id, run_id=again, result_type=OperationResult
    ).result()
    assert result.reason is AbortReason.RESET
    await asyncio.gather(ordering, return_exceptions=True)
    await eventually(partial(sold, bench, 0, 0, held=IN_CART))


async def test_without_reservations_nothing_is_short(bench: Bench) -> None:
    buyer, cart_id = await filled(bench)
    calls = bench.faults.calls["reserve"]
    request = ApplyOrder(
        **bench.common(buyer, "order", reserve=False),
        request=OrderRequest(
            order_id="order-1",
            cart_id=cart_id,
            items=(OrderedLine(product_id="headphones", quantity=ORDERED),),
        ),
    )
    handle = await bench.run(ApplyOrderWorkflow.run, buyer, request)
    result = await handle.result()
    assert (result.outcome, result.short) == (Outcome.COMMITTED, None)
    assert bench.faults.calls["reserve"] == calls
    await eventually(partial(sold, bench, IN_CART, 0))
