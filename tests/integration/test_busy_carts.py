"""Events of a cart that another workflow holds: repeats pass, others wait for a bounded time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from models.events import ORDER_COMPLETED
from tests.support.commands import cart
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.unit.test_incoming import message
from workflows import event_failures
from workflows.event_handler import EventHandler

SHORT_SECONDS = 4.0
"""Shorter than the time for which the handler's gateway waits for a cart."""


@asynccontextmanager
async def held(buyer: Buyer) -> AsyncIterator[None]:
    """Holds the buyer's cart, with a workflow that no worker runs."""

    async def start() -> Any:
        return await buyer.shop.world.temporal.start_workflow(
            "Unknown", id=buyer.workflow_id, task_queue=f"unused-{uuid4().hex}"
        )

    holder = await eventually(start)
    try:
        yield
    finally:
        await holder.terminate("for a test")


async def an_order(shop: Shop, quantity: int) -> tuple[Buyer, dict[str, Any]]:
    """A buyer with three units, and an order of some of them."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add(quantity=3)).json()["_id"]
    return buyer, {
        "cartId": cart_id,
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "orderId": f"order-{buyer.user_id}",
        "items": [{"productId": "headphones", "quantity": quantity}],
    }


async def test_a_repeat_does_not_wait_for_its_cart(shop: Shop, handler: EventHandler) -> None:
    buyer, order = await an_order(shop, 1)
    await handler.take(message(order))
    async with held(buyer), asyncio.timeout(SHORT_SECONDS):
        await handler.take(message(order))
    assert await shop.units("headphones") == (7, 2, 1)


async def test_an_event_whose_cart_stays_busy_has_its_effect_once_it_is_replayed(
    shop: Shop,
    others: OtherServices,
    handler: EventHandler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_failures, "WAIT_SECONDS", 0.1)
    buyer, order = await an_order(shop, 1)
    key = f"{shop.store_id}-key"
    async with held(buyer):
        await handler.take(message(order, key=key.encode()))
        [letter] = await others.letters(key)
    assert letter.error == "cart_busy"
    assert letter.topic == ORDER_COMPLETED
    ran = await cart("dlq", "replay", letter.id)
    assert ran.code == 0, ran.output

    async def sold() -> None:
        assert await shop.units("headphones") == (7, 2, 1)

    await eventually(sold)
