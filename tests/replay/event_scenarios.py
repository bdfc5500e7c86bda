"""Scenarios of orders and stock news."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from models.cart_line import ProductAvailability
from models.events import CART_ITEM_OUT_OF_STOCK
from models.mark_product import MarkProductInput
from models.operations import ApplyOrder, MarkAvailability
from models.orders import OrderedLine, OrderRequest
from tests.replay.common import Run, Scenario, buyer
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.workflows.conftest import Bench
from workflows.apply_order import ApplyOrderWorkflow
from workflows.mark_availability import MarkAvailabilityWorkflow
from workflows.mark_product import MarkProductWorkflow


async def order_of_a_cart(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    return await order(bench, relays)


async def order_of_a_version(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    await bench.add(buyer(relays), 3)
    return await order(bench, relays, cart_version=1)


async def order_reserved_again(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays))
    await bench.shop.stock("lamp", 1)
    return await order(bench, relays, items=(OrderedLine(product_id="lamp", quantity=2),))


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
    news = ProductAvailability(product_id="headphones", status="out_of_stock", at=soon)
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
    """Starts the saga of an order of the cart."""
    shopper = buyer(relays)
    cart = await shopper.cart()
    assert cart is not None
    request = ApplyOrder(
        **bench.common(shopper, "order"),
        request=OrderRequest(order_id="order-1", cart_id=str(cart.id), **what),
    )
    return await bench.run(ApplyOrderWorkflow.run, shopper, request)


async def mark(bench: Bench, relays: RelayBench, status: Any, at: datetime) -> Run:
    """Starts the saga of stock news about the headphones in the cart."""
    shopper = buyer(relays)
    cart = await shopper.cart()
    assert cart is not None
    news = ProductAvailability(product_id="headphones", status=status, reason="Out of stock", at=at)
    request = MarkAvailability(**bench.common(shopper, "mark"), cart_id=str(cart.id), news=(news,))
    return await bench.run(MarkAvailabilityWorkflow.run, shopper, request)


SCENARIOS: tuple[Scenario, ...] = (
    order_of_a_cart,
    order_of_a_version,
    order_reserved_again,
    mark_out_of_stock,
    mark_with_old_news,
    product_marked_in_its_carts,
)
