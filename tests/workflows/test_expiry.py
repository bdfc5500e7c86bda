"""Expiry: an untouched cart releases its units, and a changed cart stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.upkeep.expiry import ExpiryActivities
from adapters.mongo.cart_scans import CartRef, CartScans
from models.documents import Cart
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.events import CART_CLEARED
from models.operations import ClearCart
from models.outcomes import OperationResult
from models.upkeep.expiry import ExpiredPage, ExpiryInput, ExpiryPage, ExpiryResult
from tests.support.carts import add_until_committed, clear_reasons, expire, plant_cart
from tests.support.relays import details
from tests.support.schedules import paused_schedules
from tests.support.shop import Buyer, Event, Shop, World
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import policies
from workflows.gateway import CartGateway
from workflows.requests import policy_of
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.operations import expire_cart

LONG_AGO = timedelta(days=-6)  # before the TTL index of MongoDB deletes the cart


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


async def begin(bench: Bench) -> WorkflowHandle[Any, ExpiryResult]:
    return await bench.shop.world.temporal.start_workflow(
        ExpiryWorkflow.run, ExpiryInput(), id=f"expiry-{uuid4()}", task_queue=bench.task_queue
    )


async def pass_over(bench: Bench) -> ExpiryResult:
    """Runs one pass over the expired carts of all stores."""
    return await (await begin(bench)).result()


def gateway_of(world: World) -> CartGateway:
    return CartGateway(
        world.temporal, task_queue=world.settings.temporal_task_queue, lock_wait_seconds=5
    )


async def test_an_untouched_cart_releases_its_units(bench: Bench) -> None:
    shop, buyer, other = bench.shop, bench.shop.buyer(), bench.shop.buyer()
    await add_until_committed(buyer, quantity=3)
    await add_until_committed(other, quantity=2)
    cart = await buyer.cart()
    assert cart is not None
    await expire(shop, buyer.user_id)

    result = await pass_over(bench)

    assert (result.cleared, result.left) == (1, 0)
    assert await buyer.cart() is None
    assert (await buyer.get()).status_code == 404
    await eventually(shop.assert_consistent)
    assert await shop.units("headphones") == (8, 2, 0)
    assert await clear_reasons(shop) == ["expired"]

    async def published() -> Event:
        [event] = [event for event in await shop.events() if event.topic == CART_CLEARED]
        return event

    event = await eventually(published)
    assert (event.key, event.value["reason"]) == (str(cart.id), "expired")
    assert event.value["items"] == [{"productId": "headphones", "quantity": 3}]


async def test_only_carts_past_their_expiry_are_cleared(bench: Bench) -> None:
    shop = bench.shop
    for user_id, expires_in in (
        ("long-ago", LONG_AGO),
        ("just-now", timedelta(seconds=-1)),
        ("in-a-minute", timedelta(minutes=1)),
    ):
        await plant_cart(shop, user_id, {"headphones": 1}, expires_in=expires_in)
    assert (await pass_over(bench)).cleared == 2
    assert [cart.key.user_id for cart in await Cart.find({"storeId": shop.store_id}).to_list()] == [
        "in-a-minute"
    ]

    async def one_is_left() -> None:
        assert await shop.holds() == {("in-a-minute", "headphones"): 1}

    await eventually(one_is_left)


async def test_a_change_keeps_a_cart_and_a_read_does_not(bench: Bench) -> None:
    reader, shopper = bench.shop.buyer(), bench.shop.buyer()
    for buyer in (reader, shopper):
        await add_until_committed(buyer)
        await expire(bench.shop, buyer.user_id)
    assert (await reader.get()).status_code == 200
    await add_until_committed(shopper)
    await pass_over(bench)
    assert await reader.cart() is None
    cart = await shopper.cart()
    assert cart is not None
    assert cart.quantity == 2


Expire = Callable[[CartRef, datetime], Awaitable[OperationResult]]


async def page_with_an_add_in_its_middle(shop: Shop, buyer: Buyer, clear: Expire) -> ExpiredPage:
    """Runs a page in which an add to the cart commits between its discovery and its clear."""

    async def added_to_first(cart: CartRef, before: datetime) -> OperationResult:
        if cart.key.user_id == buyer.user_id:
            await add_until_committed(buyer)
        return await clear(cart, before)

    steps = ExpiryActivities(CartScans(), expire=added_to_first)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    result: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    return result


async def assert_an_add_in_the_middle_is_kept(shop: Shop, clear: Expire) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await add_until_committed(buyer)
    await expire(shop, buyer.user_id)
    page = await page_with_an_add_in_its_middle(shop, buyer, clear)
    cart = await buyer.cart()
    assert cart is not None, "the add was answered 201, and its cart is gone"
    assert (cart.quantity, page.left) == (2, (str(cart.id),))
    await eventually(shop.assert_consistent)


async def test_an_add_between_discovery_and_clear_keeps_the_cart(shop: Shop) -> None:
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    await assert_an_add_in_the_middle_is_kept(shop, partial(expire_cart, gateway, policy))


async def test_a_build_without_the_second_check_loses_the_add(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutASecondLook(ClearCart):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields | {"expired_by": None})

    monkeypatch.setattr("workflows.upkeep.operations.ClearCart", WithoutASecondLook)
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    with pytest.raises(AssertionError, match="its cart is gone"):
        await assert_an_add_in_the_middle_is_kept(shop, partial(expire_cart, gateway, policy))


async def test_adds_during_a_pass_lose_no_units(bench: Bench) -> None:
    shop = bench.shop
    await shop.stock("headphones", 1000)
    buyers = [shop.buyer() for _ in range(20)]
    for buyer in buyers:
        await add_until_committed(buyer)
        await expire(shop, buyer.user_id)
    run = await begin(bench)
    await asyncio.gather(*(add_until_committed(buyer, quantity=2) for buyer in buyers))
    result = await run.result()
    carts = [await buyer.cart() for buyer in buyers]
    # In either order the two units of the add are there: in the old cart, or in a new one.
    assert {cart and cart.quantity for cart in carts} <= {2, 3}
    assert [cart and cart.quantity for cart in carts].count(2) == result.cleared
    await eventually(shop.assert_consistent)


async def test_a_pass_goes_through_all_pages_and_continues_as_new(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "EXPIRY_PAGE", 2)
    for number in range(75):
        await plant_cart(
            bench.shop, f"user-{number}", {"headphones": 1}, expires_in=LONG_AGO, held=False
        )
    handle = await begin(bench)
    assert (await handle.result()).cleared == 75
    latest = bench.shop.world.temporal.get_workflow_handle(handle.id)
    assert (await latest.describe()).run_id != handle.first_execution_run_id
    assert "75 cleared, 0 left" in await details(latest)


@pytest.mark.parametrize(
    "error",
    [
        OperationInProgress("the cart is busy"),
        OperationAborted("mongodb_unavailable"),
        WorkflowFailureError(cause=RuntimeError("unexpected")),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_cart_that_cannot_be_cleared_is_left_to_the_next_pass(
    shop: Shop, error: Exception
) -> None:
    await plant_cart(shop, "busy", {"headphones": 1}, expires_in=LONG_AGO, held=False)

    async def busy(cart: CartRef, before: datetime) -> OperationResult:
        raise error

    steps = ExpiryActivities(CartScans(), expire=busy)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    first: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (first.found, first.cleared, len(first.left)) == (1, 0, 1)
    page = page.model_copy(update={"left": first.left})
    second: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (second.found, second.left) == (0, ())
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_a_cart_whose_outcome_is_unknown_is_found_by_the_next_page(shop: Shop) -> None:
    """One clear of three has no answer: the page counts the others, the next page has it again."""
    for name in ("a", "b", "c"):
        await plant_cart(shop, name, {"headphones": 1}, expires_in=LONG_AGO, held=False)
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    without_answer = {"b"}

    async def clear(cart: CartRef, before: datetime) -> OperationResult:
        if cart.key.user_id in without_answer:
            raise DependencyUnavailable("temporal")
        return await expire_cart(gateway, policy, cart, before)

    steps = ExpiryActivities(CartScans(), expire=clear)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    first: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (first.found, first.cleared, first.left, first.undecided) == (3, 2, (), 1)
    with pytest.raises(ApplicationError, match="temporal is unavailable"):
        await ActivityEnvironment().run(steps.expire_page, page)
    without_answer.clear()
    last: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (last.found, last.cleared, last.undecided) == (1, 1, 0)
