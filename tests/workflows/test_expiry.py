"""Expiry: a cart that nobody touches gives its stock back, and one that is touched stays."""

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
from adapters.mongo.expiry import ExpiredCart, ExpiredCarts
from models.cart import Cart
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.events import CART_CLEARED
from models.messages import ClearCartInput, OperationResult
from models.upkeep.expiry import ExpiredPage, ExpiryInput, ExpiryPage, ExpiryResult
from tests.support.carts import expire, insist, plant_cart, reasons
from tests.support.clock import stopped_clock
from tests.support.relays import details
from tests.support.shop import Buyer, Event, Shop, World
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import policies
from workflows.gateway import CartGateway, policy_of
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.operations import expire_cart

LONG_AGO = timedelta(days=-6)  # and not so long that MongoDB itself deletes it


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with stopped_clock(world.temporal):
        yield


async def begin(bench: Bench) -> WorkflowHandle[Any, ExpiryResult]:
    return await bench.shop.world.temporal.start_workflow(
        ExpiryWorkflow.run, ExpiryInput(), id=f"expiry-{uuid4()}", task_queue=bench.task_queue
    )


async def pass_over(bench: Bench) -> ExpiryResult:
    """One pass, over the expired carts of all stores."""
    return await (await begin(bench)).result()


def gateway_of(world: World) -> CartGateway:
    return CartGateway(
        world.temporal, task_queue=world.settings.temporal_task_queue, lock_wait_seconds=5
    )


async def test_an_untouched_cart_gives_its_stock_back(bench: Bench) -> None:
    shop, buyer, other = bench.shop, bench.shop.buyer(), bench.shop.buyer()
    await insist(buyer, quantity=3)
    await insist(other, quantity=2)
    cart = await buyer.cart()
    assert cart is not None
    await expire(shop, buyer.user_id)

    result = await pass_over(bench)

    assert (result.cleared, result.left) == (1, 0)
    assert await buyer.cart() is None
    assert (await buyer.get()).status_code == 404
    await eventually(shop.assert_consistent)
    assert await shop.units("headphones") == (8, 2, 0)
    assert await reasons(shop) == ["expired"]

    async def told() -> Event:
        [event] = [event for event in await shop.events() if event.topic == CART_CLEARED]
        return event

    event = await eventually(told)
    assert (event.key, event.value["reason"]) == (str(cart.id), "expired")
    assert event.value["items"] == [{"productId": "headphones", "quantity": 3}]


async def test_dates_long_past_are_taken_and_dates_to_come_are_not(bench: Bench) -> None:
    shop = bench.shop
    for user_id, expires_in in (
        ("long-ago", LONG_AGO),
        ("just-now", timedelta(seconds=-1)),
        ("in-a-minute", timedelta(minutes=1)),
    ):
        await plant_cart(shop, user_id, {"headphones": 1}, expires_in=expires_in)
    assert (await pass_over(bench)).cleared == 2
    assert [cart.user_id for cart in await Cart.find({"storeId": shop.store_id}).to_list()] == [
        "in-a-minute"
    ]

    async def one_is_left() -> None:
        assert await shop.holds() == {("in-a-minute", "headphones"): 1}

    await eventually(one_is_left)


async def test_a_read_does_not_keep_a_cart_and_a_change_does(bench: Bench) -> None:
    reader, shopper = bench.shop.buyer(), bench.shop.buyer()
    for buyer in (reader, shopper):
        await insist(buyer)
        await expire(bench.shop, buyer.user_id)
    assert (await reader.get()).status_code == 200
    await insist(shopper)
    await pass_over(bench)
    assert await reader.cart() is None
    cart = await shopper.cart()
    assert cart is not None
    assert cart.quantity == 2


Expire = Callable[[ExpiredCart, datetime], Awaitable[OperationResult]]


async def page_with_an_add_in_its_middle(shop: Shop, buyer: Buyer, clear: Expire) -> ExpiredPage:
    """A page that finds the cart, which is added to before it is cleared."""

    async def added_to_first(cart: ExpiredCart, before: datetime) -> OperationResult:
        if cart.user_id == buyer.user_id:
            await insist(buyer)
        return await clear(cart, before)

    steps = ExpiryActivities(ExpiredCarts(), expire=added_to_first)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    result: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    return result


async def assert_an_add_in_the_middle_is_kept(shop: Shop, clear: Expire) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await insist(buyer)
    await expire(shop, buyer.user_id)
    page = await page_with_an_add_in_its_middle(shop, buyer, clear)
    cart = await buyer.cart()
    assert cart is not None, "the add was answered 201, and its cart is gone"
    assert (cart.quantity, page.left) == (2, (str(cart.id),))
    await eventually(shop.assert_consistent)


async def test_a_cart_is_looked_at_again_under_its_lock(shop: Shop) -> None:
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    await assert_an_add_in_the_middle_is_kept(shop, partial(expire_cart, gateway, policy))


async def test_a_build_that_does_not_look_again_is_caught(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_a_second_look(**fields: Any) -> ClearCartInput:
        return ClearCartInput(**fields | {"expired_by": None})

    monkeypatch.setattr("workflows.upkeep.operations.ClearCartInput", without_a_second_look)
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    with pytest.raises(AssertionError, match="its cart is gone"):
        await assert_an_add_in_the_middle_is_kept(shop, partial(expire_cart, gateway, policy))


async def test_adds_that_race_the_pass_lose_nothing(bench: Bench) -> None:
    shop = bench.shop
    await shop.stock("headphones", 1000)
    buyers = [shop.buyer() for _ in range(20)]
    for buyer in buyers:
        await insist(buyer)
        await expire(shop, buyer.user_id)
    run = await begin(bench)
    await asyncio.gather(*(insist(buyer, quantity=2) for buyer in buyers))
    result = await run.result()
    carts = [await buyer.cart() for buyer in buyers]
    # Whoever came first, the add's two units are there: in the old cart, or in a new one.
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
        WorkflowFailureError(cause=RuntimeError("nobody foresaw it")),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_cart_that_cannot_be_cleared_is_left_to_the_next_pass(
    shop: Shop, error: Exception
) -> None:
    await plant_cart(shop, "busy", {"headphones": 1}, expires_in=LONG_AGO, held=False)

    async def busy(cart: ExpiredCart, before: datetime) -> OperationResult:
        raise error

    steps = ExpiryActivities(ExpiredCarts(), expire=busy)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    first: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (first.found, first.cleared, len(first.left)) == (1, 0, 1)
    page = page.model_copy(update={"left": first.left})
    second: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (second.found, second.left) == (0, ())
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_what_could_not_be_decided_is_found_again(shop: Shop) -> None:
    """One answer of three is lost: the page counts the others, and the next one has it again."""
    for name in ("a", "b", "c"):
        await plant_cart(shop, name, {"headphones": 1}, expires_in=LONG_AGO, held=False)
    gateway, policy = gateway_of(shop.world), policy_of(shop.world.settings)
    away = {"b"}

    async def clear(cart: ExpiredCart, before: datetime) -> OperationResult:
        if cart.user_id in away:
            raise DependencyUnavailable("temporal")
        return await expire_cart(gateway, policy, cart, before)

    steps = ExpiryActivities(ExpiredCarts(), expire=clear)
    page = ExpiryPage(before=datetime.now(UTC), left=(), limit=10)
    first: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (first.found, first.cleared, first.left, first.undecided) == (3, 2, (), 1)
    with pytest.raises(ApplicationError, match="temporal is unavailable"):
        await ActivityEnvironment().run(steps.expire_page, page)
    away.clear()
    last: ExpiredPage = await ActivityEnvironment().run(steps.expire_page, page)
    assert (last.found, last.cleared, last.undecided) == (1, 1, 0)
