"""Scenarios of checkouts and cancelled orders."""

from functools import partial
from typing import Any
from uuid import uuid4

from models.errors import DependencyUnavailable
from models.operations import ApplyOrder, CancelCheckout, CancelOrder, Checkout
from models.orders import CancelRequest, OrderRequest
from models.upkeep.passes import PassInput
from tests.replay.common import (
    INVENTORY_IS_DOWN,
    KAFKA_IS_DOWN,
    Run,
    Scenario,
    aborted,
    buyer,
    cancelled,
    past_its_deadline,
    reset_when_it_has_ended,
)
from tests.support.call_faults import FOR_EVER
from tests.support.carts import end_checkout, forget_holds
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.apply_order import ApplyOrderWorkflow
from workflows.cancel_checkout import CancelCheckoutWorkflow
from workflows.cancel_order import CancelOrderWorkflow
from workflows.checkout import CheckoutWorkflow
from workflows.upkeep.checkouts import EndCheckoutsWorkflow

HELD_AT_CHECKOUT: dict[str, Any] = {"reserve": False, "reserve_at_checkout": True}


async def _filled(bench: Bench, relays: RelayBench, **options: Any) -> None:
    """The buyer has two products in the cart."""
    await bench.shop.stock("lamp", 2)
    for product in ("headphones", "lamp"):
        await bench.add(buyer(relays), 1, product=product, **options)


async def _check_out(bench: Bench, relays: RelayBench, **options: Any) -> Run:
    operation = Checkout(**bench.common(buyer(relays), "checkout", **options))
    return await bench.run(CheckoutWorkflow.run, buyer(relays), operation)


async def _checked_out(bench: Bench, relays: RelayBench, **options: Any) -> str:
    """The id of the checkout of the buyer's cart."""
    await _filled(bench, relays, **options)
    run = await _check_out(bench, relays, **options)
    return str((await run.result()).operation_id)


async def checkout_committed(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    return await _check_out(bench, relays)


async def checkout_reserving_again(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    await forget_holds(bench.shop)
    return await _check_out(bench, relays)


async def checkout_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    await forget_holds(bench.shop)
    await bench.shop.stock("lamp", 0)
    return await _check_out(bench, relays)


async def checkout_rejected_when_frozen(bench: Bench, relays: RelayBench) -> Run:
    await _checked_out(bench, relays)
    return await _check_out(bench, relays)


async def checkout_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    await forget_holds(bench.shop)
    return await past_its_deadline(bench, partial(_check_out, bench, relays))


async def checkout_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    return await aborted(bench, partial(_check_out, bench, relays))


async def checkout_cancelled_run(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    return await cancelled(bench, partial(_check_out, bench, relays))


async def checkout_reset_when_committed(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    return await reset_when_it_has_ended(bench, await _check_out(bench, relays))


async def _thaw(bench: Bench, relays: RelayBench, **options: Any) -> Run:
    common = bench.common(buyer(relays), "cancel", **options)
    operation = CancelCheckout(**common, reason="user")
    return await bench.run(CancelCheckoutWorkflow.run, buyer(relays), operation)


async def thaw_committed(bench: Bench, relays: RelayBench) -> Run:
    await _checked_out(bench, relays)
    return await _thaw(bench, relays)


async def thaw_releasing_units(bench: Bench, relays: RelayBench) -> Run:
    """They are held for the checkout alone."""
    await _checked_out(bench, relays, **HELD_AT_CHECKOUT)
    return await _thaw(bench, relays, **HELD_AT_CHECKOUT)


async def thaw_with_its_release_deferred(bench: Bench, relays: RelayBench) -> Run:
    await _checked_out(bench, relays, **HELD_AT_CHECKOUT)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN, times=FOR_EVER)
    return await _thaw(bench, relays, **HELD_AT_CHECKOUT)


async def thaw_rejected_when_not_frozen(bench: Bench, relays: RelayBench) -> Run:
    await _filled(bench, relays)
    return await _thaw(bench, relays)


async def _request(bench: Bench, relays: RelayBench, checkout_id: str) -> dict[str, Any]:
    cart = await buyer(relays).cart()
    return {"order_id": "order-1", "cart_id": str(cart and cart.id), "checkout_id": checkout_id}


async def order_of_a_checkout(bench: Bench, relays: RelayBench) -> Run:
    request = await _request(bench, relays, await _checked_out(bench, relays))
    common = bench.common(buyer(relays), "order")
    order = ApplyOrder(**common, request=OrderRequest(**request))
    return await bench.run(ApplyOrderWorkflow.run, buyer(relays), order)


async def order_of_no_checkout(bench: Bench, relays: RelayBench) -> Run:
    await _checked_out(bench, relays)
    request = await _request(bench, relays, uuid4().hex)
    common = bench.common(buyer(relays), "order")
    order = ApplyOrder(**common, request=OrderRequest(**request))
    return await bench.run(ApplyOrderWorkflow.run, buyer(relays), order)


async def _cancel(bench: Bench, relays: RelayBench, request: dict[str, Any], **options: Any) -> Run:
    operation = CancelOrder(
        **bench.common(buyer(relays), "cancel", **options), request=CancelRequest(**request)
    )
    return await bench.run(CancelOrderWorkflow.run, buyer(relays), operation)


async def cancellation_before_the_order(bench: Bench, relays: RelayBench) -> Run:
    request = await _request(bench, relays, await _checked_out(bench, relays))
    return await _cancel(bench, relays, request)


async def cancellation_after_the_order(bench: Bench, relays: RelayBench) -> Run:
    request = await _request(bench, relays, await _checked_out(bench, relays))
    order = ApplyOrder(**bench.common(buyer(relays), "order"), request=OrderRequest(**request))
    await (await bench.run(ApplyOrderWorkflow.run, buyer(relays), order)).result()
    return await _cancel(bench, relays, request)


async def cancellation_with_its_event_deferred(bench: Bench, relays: RelayBench) -> Run:
    request = await _request(bench, relays, await _checked_out(bench, relays))
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await _cancel(bench, relays, request)


async def cancellation_undone_without_mongodb(bench: Bench, relays: RelayBench) -> Run:
    request = await _request(bench, relays, await _checked_out(bench, relays))
    bench.faults.fail("persist", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    return await _cancel(bench, relays, request, deadline_seconds=0.5)


async def checkouts_of_two_carts(bench: Bench, relays: RelayBench) -> Run:
    for shopper in (bench.shop.buyer(), bench.shop.buyer()):
        await bench.add(shopper, 1)
        operation = Checkout(**bench.common(shopper, "checkout"))
        await (await bench.run(CheckoutWorkflow.run, shopper, operation)).result()
        await end_checkout(bench.shop, shopper.user_id)
    return await bench.shop.world.temporal.start_workflow(
        EndCheckoutsWorkflow.run, PassInput(), id=f"thaw-{uuid4()}", task_queue=bench.task_queue
    )


SCENARIOS: tuple[Scenario, ...] = (
    checkout_committed,
    checkout_reserving_again,
    checkout_rejected_for_stock,
    checkout_rejected_when_frozen,
    checkout_undone_by_its_deadline,
    checkout_undone_by_an_operator,
    checkout_cancelled_run,
    checkout_reset_when_committed,
    thaw_committed,
    thaw_releasing_units,
    thaw_with_its_release_deferred,
    thaw_rejected_when_not_frozen,
    order_of_a_checkout,
    order_of_no_checkout,
    cancellation_before_the_order,
    cancellation_after_the_order,
    cancellation_with_its_event_deferred,
    cancellation_undone_without_mongodb,
    checkouts_of_two_carts,
)
