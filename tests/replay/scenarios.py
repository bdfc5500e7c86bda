"""What is recorded: for each history its name, and how to bring it about on a bench."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle

from models.errors import DependencyUnavailable, VersionConflict
from models.events import CART_ITEM_OUT_OF_STOCK
from models.messages import (
    AvailabilityNews,
    ClearCartInput,
    MarkAvailabilityInput,
    MarkProductInput,
    OrderedLine,
    RelayKind,
)
from models.upkeep import ExpiryInput
from tests.support.carts import plant_cart
from tests.support.relays import TOO_LARGE, RelayBench, details, failing
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids
from workflows.add_item import AddItemWorkflow
from workflows.clear_cart import ClearCartWorkflow
from workflows.expiry import ExpiryWorkflow
from workflows.figures import FiguresWorkflow
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow
from workflows.relay import RelayWorkflow
from workflows.schedules import SweepWorkflow

FOR_EVER = 1000
KAFKA_IS_DOWN = DependencyUnavailable("kafka")
INVENTORY_IS_DOWN = DependencyUnavailable("inventory")

Run = WorkflowHandle[Any, Any]
Scenario = Callable[[Bench, RelayBench], Awaitable[Run]]
"""Runs a workflow of its own to its end; answers its handle."""


def buyer(relays: RelayBench) -> Buyer:
    """Whose cart is in the shard of the bench's relays."""
    return Buyer(relays.shop, relays.user(0), {})


async def add_committed(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays))


async def add_to_a_cart_that_moved_on(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("commit", "before", VersionConflict("moved"))
    return await bench.start(buyer(relays))


async def add_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays), 11)


async def add_rejected_for_its_limit(bench: Bench, relays: RelayBench) -> Run:
    await bench.shop.stock("headphones", 200)
    await bench.add(buyer(relays), 60)
    return await bench.start(buyer(relays), 60)


async def add_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=2)
    return await bench.start(buyer(relays))


async def add_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    _, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays), deadline_seconds=0.5)
    await handle.result()
    go_on.set()
    return handle


async def add_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    arrived, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays))
    await arrived.wait()
    await handle.signal(ids.ABORT, "an operator says so")
    await handle.result()
    go_on.set()
    return handle


async def add_cancelled(bench: Bench, relays: RelayBench) -> Run:
    arrived, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays))
    await arrived.wait()
    await handle.cancel()
    await ended(handle)
    go_on.set()
    return handle


async def add_settled_when_mongodb_is_back(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "before", INVENTORY_IS_DOWN, times=2)
    bench.faults.fail("settle", "before", DependencyUnavailable("mongodb"), times=2)
    return await bench.start(buyer(relays))


async def add_with_its_event_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_behind_a_pending_event(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    await bench.add(buyer(relays))
    return await bench.start(buyer(relays))


async def add_with_its_release_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=2)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_replayed_by_its_key(bench: Bench, relays: RelayBench) -> Run:
    key = uuid4().hex
    await bench.add(buyer(relays), key=key)
    return await bench.start(buyer(relays), key=key)


async def clear_for_an_order(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    return await order(bench, relays)


async def clear_of_what_was_ordered(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    await bench.add(buyer(relays), 3)
    return await order(bench, relays, cart_version=1)


async def clear_of_what_is_gone(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    return await order(bench, relays, items=(OrderedLine(product_id="lamp"),))


async def mark_out_of_stock(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    return await mark(bench, relays, "out_of_stock", datetime.now(UTC) + timedelta(seconds=1))


async def mark_with_old_news(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    return await mark(bench, relays, "out_of_stock", datetime(2026, 1, 27, tzinfo=UTC))


async def product_marked_in_its_carts(bench: Bench, relays: RelayBench) -> Run:
    for number in range(3):
        await bench.add(Buyer(relays.shop, relays.user(number), {}), 1)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    news = AvailabilityNews(product_id="headphones", status="out_of_stock", at=soon)
    request = MarkProductInput(
        topic=CART_ITEM_OUT_OF_STOCK,
        event_id=uuid4().hex,
        store_id=relays.shop.store_id,
        news=news,
    )
    return await bench.shop.world.temporal.start_workflow(
        MarkProductWorkflow.run, request, id=f"product-{uuid4()}", task_queue=bench.task_queue
    )


async def order(bench: Bench, relays: RelayBench, **what: Any) -> Run:
    """An order of the cart, as a saga."""
    shopper = buyer(relays)
    cart = await shopper.cart()
    assert cart is not None
    request = ClearCartInput(
        **bench.common(shopper, "order"),
        cart_id=str(cart.id),
        reason="order_completed",
        order_id="order-1",
        **what,
    )
    return await bench.run(ClearCartWorkflow.run, shopper, request)


async def mark(bench: Bench, relays: RelayBench, status: Any, at: datetime) -> Run:
    """News of the headphones in the cart, as a saga."""
    shopper = buyer(relays)
    cart = await shopper.cart()
    assert cart is not None
    news = AvailabilityNews(product_id="headphones", status=status, reason="Out of stock", at=at)
    request = MarkAvailabilityInput(
        **bench.common(shopper, "mark"), cart_id=str(cart.id), news=(news,)
    )
    return await bench.run(MarkAvailabilityWorkflow.run, shopper, request)


async def relay_delivering(bench: Bench, relays: RelayBench) -> Run:
    for version in (1, 2, 3):
        await relays.plant_event(version)
    return await relays.wake()


async def relay_failing_and_retried(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=2)
    relay = await relays.wake()
    for times in (1, 2):
        await failing(relay, times=times)
        await relay.signal(RelayWorkflow.retry_now)
    return relay


async def relay_paused_and_resumed(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    await failing(relay)
    await relay.signal(RelayWorkflow.pause)

    async def paused() -> None:
        assert "paused" in await details(relay)

    await eventually(paused)
    await relay.signal(RelayWorkflow.resume)
    return relay


async def relay_skipping(bench: Bench, relays: RelayBench) -> Run:
    poison = await relays.plant_event(1, size=TOO_LARGE)
    await relays.plant_event(2)
    relay = await relays.wake()
    await failing(relay)
    await relay.signal(RelayWorkflow.skip, args=[poison.id, "nobody can take it"])
    return relay


async def relay_of_releases(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_release("headphones", saga_id="saga-1")
    return await relays.wake(RelayKind.RELEASES)


async def sweep(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        SweepWorkflow.run, id=f"sweep-{uuid4()}", task_queue=bench.task_queue
    )


async def expiry_of_two_carts(bench: Bench, relays: RelayBench) -> Run:
    for user_id in ("user-1", "user-2"):
        await plant_cart(bench.shop, user_id, {"headphones": 1}, expires_in=timedelta(days=-1))
    return await bench.shop.world.temporal.start_workflow(
        ExpiryWorkflow.run, ExpiryInput(), id=f"expiry-{uuid4()}", task_queue=bench.task_queue
    )


async def figures(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        FiguresWorkflow.run, id=f"figures-{uuid4()}", task_queue=bench.task_queue
    )


async def ended(handle: Run) -> None:
    """Waits for its end, whatever that is."""
    await asyncio.gather(handle.result(), return_exceptions=True)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        add_committed,
        add_to_a_cart_that_moved_on,
        add_rejected_for_stock,
        add_rejected_for_its_limit,
        add_undone_without_inventory,
        add_undone_by_its_deadline,
        add_undone_by_an_operator,
        add_cancelled,
        add_settled_when_mongodb_is_back,
        add_with_its_event_deferred,
        add_behind_a_pending_event,
        add_with_its_release_deferred,
        add_replayed_by_its_key,
        clear_for_an_order,
        clear_of_what_was_ordered,
        clear_of_what_is_gone,
        mark_out_of_stock,
        mark_with_old_news,
        product_marked_in_its_carts,
        relay_delivering,
        relay_failing_and_retried,
        relay_paused_and_resumed,
        relay_skipping,
        relay_of_releases,
        sweep,
        expiry_of_two_carts,
        figures,
    )
}
WORKFLOWS = {
    "add": AddItemWorkflow,
    "clear": ClearCartWorkflow,
    "mark": MarkAvailabilityWorkflow,
    "product": MarkProductWorkflow,
    "relay": RelayWorkflow,
    "sweep": SweepWorkflow,
    "expiry": ExpiryWorkflow,
    "figures": FiguresWorkflow,
}
"""What the first word of a history's name says."""
