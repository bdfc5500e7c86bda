"""Builds with one known mistake each, in how they deal with events: the checks catch each.

The good build goes through the same course of events unharmed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest

from adapters.kafka import consumer as event_consumer
from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.lanes import Lanes
from adapters.kafka.publisher import EventPublisher
from dev.stack.stack import Stack
from models.events import ORDER_COMPLETED
from models.messages import ClearCartInput
from tests.kafka.test_consumer import Group, Notes, all_taken
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.unit.test_incoming import message
from workflows import event_handler, event_operations, ids
from workflows.event_handler import EventHandler
from workflows.gateway import CartGateway, policy_of

SECONDS = 3.0
"""How long a bad build is given to do what it never will."""


@pytest.fixture
async def handler(shop: Shop) -> AsyncIterator[EventHandler]:
    """In this process, whose code a test can spoil."""
    settings = shop.world.settings
    publisher = EventPublisher(settings)
    gateway = CartGateway(
        shop.world.temporal, task_queue=settings.temporal_task_queue, lock_wait_seconds=5
    )
    policy = policy_of(settings)
    yield EventHandler(gateway, shop.world.carts, DeadLetters(publisher), policy=policy)
    await publisher.close()


async def an_order(shop: Shop, **more: Any) -> tuple[Buyer, dict[str, Any]]:
    """Of a cart that had three headphones, and has a lamp since."""
    await shop.stock("headphones", 10)
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add(quantity=3)).json()["_id"]
    assert (await buyer.add("lamp")).status_code == 201
    order = {
        "cartId": cart_id,
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "orderId": f"order-{buyer.user_id}",
    }
    return buyer, order | more


async def sold(shop: Shop) -> tuple[int, int]:
    """Headphones and lamps, when all is quiet."""

    async def quiet() -> tuple[int, int]:
        assert not any(record.pending for record in await shop.records())
        return (await shop.units("headphones"))[2], (await shop.units("lamp"))[2]

    return await eventually(quiet)


@pytest.mark.parametrize("is_bad", [False, True])
async def test_an_operation_id_from_the_clock_sells_twice(
    shop: Shop, handler: EventHandler, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        clock = count()
        good = ids.event_operation_id
        monkeypatch.setattr(ids, "event_operation_id", lambda *a: good(f"{next(clock)}", *a[1:]))
    _, order = await an_order(shop, items=[{"productId": "headphones", "quantity": 1}])
    for _ in range(2):
        await handler.take(message(order))
    assert await sold(shop) == ((2, 0) if is_bad else (1, 0))


@pytest.mark.parametrize("is_bad", [False, True])
async def test_an_order_that_ignores_its_version_clears_what_came_later(
    shop: Shop, handler: EventHandler, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        good: Callable[..., ClearCartInput] = event_operations.clear_for_order

        def clear_all(*args: Any) -> ClearCartInput:
            return good(*args).model_copy(update={"cart_version": None})

        monkeypatch.setattr(event_handler, "clear_for_order", clear_all)
    buyer, order = await an_order(shop, cartVersion=1)
    await handler.take(message(order))
    assert await sold(shop) == ((3, 1) if is_bad else (3, 0))
    assert (await buyer.cart() is None) is is_bad


class _Hasty(Lanes):
    """Commits what it has only received."""

    @property
    def committable(self) -> int | None:
        return self._end


@pytest.mark.parametrize("is_bad", [False, True])
async def test_an_offset_that_is_committed_too_early_loses_the_message(
    stack: Stack, others: OtherServices, monkeypatch: pytest.MonkeyPatch, is_bad: bool
) -> None:
    if is_bad:
        monkeypatch.setattr(event_consumer, "Lanes", _Hasty)
    monkeypatch.setattr(event_consumer, "REVOKE_SECONDS", 0.1)
    monkeypatch.setattr(event_consumer, "DRAIN_SECONDS", 0.1)
    group = Group(stack.settings, others)
    dies, next_one = Notes(group.prefix, gate=asyncio.Event()), Notes(group.prefix)
    [lane] = group.lanes(1)
    async with group.member(dies):
        await group.send([lane], range(3), ORDER_COMPLETED)

        async def under_way() -> None:
            assert dies.under_way == 1

        await eventually(under_way, timeout=30)
    async with group.member(next_one):
        taken = all_taken([next_one], [lane], 3)
        if is_bad:
            with pytest.raises(AssertionError):
                await eventually(taken, timeout=SECONDS)
        else:
            await eventually(taken, timeout=30)
