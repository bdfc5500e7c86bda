"""Abandoned carts: an event once, another one when the user comes back, in the cart's order."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from models.documents import Cart, OperationRecord
from models.events import CART_ABANDONED, CART_ITEM_ADDED, CART_RECOVERED
from models.outcomes import Outcome
from models.upkeep.passes import PassInput, PassResult
from tests.support.carts import leave_alone
from tests.support.schedules import in_the_middle_of_a_pass, paused_schedules
from tests.support.shop import Buyer, Event, World
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_expiry import assert_settled
from workflows.upkeep.abandonment import AbandonmentWorkflow

ON: dict[str, Any] = {"abandon_seconds": 3600}


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


async def pass_over(bench: Bench) -> PassResult:
    """Runs one pass over the idle carts of all stores."""
    result: PassResult = await bench.shop.world.temporal.execute_workflow(
        AbandonmentWorkflow.run, PassInput(), id=f"abandon-{uuid4()}", task_queue=bench.task_queue
    )
    return result


async def cart_of(buyer: Buyer) -> Cart:
    cart = await buyer.cart()
    assert cart is not None
    return cart


async def abandoned_buyer(bench: Bench) -> Buyer:
    """A buyer whose cart with two headphones was abandoned."""
    buyer = bench.shop.buyer()
    await bench.add(buyer, 2, **ON)
    await leave_alone(bench.shop, buyer.user_id)
    assert (await pass_over(bench)).changed == 1
    return buyer


async def events_of(bench: Bench, topic: str) -> list[Event]:
    """The events of a topic, once all that is pending was delivered."""
    await eventually(partial(assert_settled, bench.shop), timeout=60)
    return [event for event in await bench.shop.events() if event.topic == topic]


async def in_order(bench: Bench) -> list[str]:
    """The topics of all events in the order in which records have them, as relays send them."""
    records = await OperationRecord.find({"storeId": bench.shop.store_id}).sort("at").to_list()
    return [
        effect.topic for record in records for effect in record.effects if effect.kind == "event"
    ]


async def test_a_cart_is_abandoned_once_and_looks_the_same(bench: Bench) -> None:
    buyer, busy = bench.shop.buyer(), bench.shop.buyer()
    for one in (buyer, busy):
        await bench.add(one, 2, **ON)
    await leave_alone(bench.shop, buyer.user_id)
    before, seen = await cart_of(buyer), await buyer.get()

    assert (await pass_over(bench)).changed == 1
    assert (await pass_over(bench)).changed == 0

    after = await cart_of(buyer)
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert after.abandoned_at is not None
    assert (await buyer.get()).content == seen.content
    [event] = await events_of(bench, CART_ABANDONED)
    assert (event.key, event.value["version"]) == (str(before.id), 1)
    assert event.value["items"] == [{"productId": "headphones", "quantity": 2}]
    assert await bench.shop.units("headphones") == (6, 4, 0)
    admin = bench.shop.buyer(role="admin", store=bench.shop.store_id)
    url = f"/api/v1/cart/{before.id}/history"
    history = (await bench.shop.world.http.get(url, headers=admin.headers)).json()
    assert [one["operation"] for one in history["changes"]] == ["AddItem"]


async def test_the_users_next_change_recovers_it_once(bench: Bench) -> None:
    buyer = await abandoned_buyer(bench)
    abandoned_at = (await cart_of(buyer)).abandoned_at
    for _ in range(2):
        await bench.add(buyer, 1, **ON)
    cart = await cart_of(buyer)
    assert cart.abandoned_at is None
    assert cart.abandon_at is not None
    [abandoned] = await events_of(bench, CART_ABANDONED)
    [recovered] = await events_of(bench, CART_RECOVERED)
    assert (abandoned.value["version"], recovered.value["version"]) == (1, 2)
    assert recovered.value["abandonedAt"] == abandoned.value["timestamp"]
    assert abandoned_at is not None
    assert await in_order(bench) == [
        *(CART_ITEM_ADDED, CART_ABANDONED),
        *(CART_ITEM_ADDED, CART_RECOVERED, CART_ITEM_ADDED),
    ]
    await leave_alone(bench.shop, buyer.user_id)
    assert (await pass_over(bench)).changed == 1
    assert len(await events_of(bench, CART_ABANDONED)) == 2


async def test_a_change_that_was_under_way_comes_after_the_abandonment(bench: Bench) -> None:
    """Its saga has started before the pass, and commits after it."""
    buyer = bench.shop.buyer()
    await bench.add(buyer, 2, **ON)
    await leave_alone(bench.shop, buyer.user_id)
    arrived, go_on = bench.faults.hold("persist")
    saga = await bench.start(buyer, 1, **ON)
    async with asyncio.timeout(30):
        await arrived.wait()
    assert (await pass_over(bench)).changed == 1
    go_on.set()
    assert (await saga.result()).outcome is Outcome.COMMITTED
    assert (await cart_of(buyer)).abandoned_at is None
    [abandoned] = await events_of(bench, CART_ABANDONED)
    [recovered] = await events_of(bench, CART_RECOVERED)
    assert (abandoned.value["version"], recovered.value["version"]) == (1, 2)
    assert await in_order(bench) == [
        *(CART_ITEM_ADDED, CART_ABANDONED, CART_ITEM_ADDED, CART_RECOVERED)
    ]


async def test_a_change_in_the_middle_of_the_pass_keeps_the_cart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass has read the cart, and an add commits before it does."""
    buyer = bench.shop.buyer()
    await bench.add(buyer, 2, **ON)
    await leave_alone(bench.shop, buyer.user_id)
    tries = in_the_middle_of_a_pass(monkeypatch, lambda: bench.add(buyer, 1, **ON))
    assert ((await pass_over(bench)).changed, len(tries)) == (0, 1)
    assert (await cart_of(buyer)).abandoned_at is None
    assert await events_of(bench, CART_ABANDONED) == []
    assert await events_of(bench, CART_RECOVERED) == []


async def test_by_default_no_cart_is_abandoned(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    await bench.add(buyer, 2)
    cart = await cart_of(buyer)
    assert (cart.abandon_at, cart.abandoned_at) == (None, None)
    assert (await pass_over(bench)).changed == 0
