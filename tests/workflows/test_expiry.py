"""Expiry: an untouched cart releases its units, and a changed cart stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import activities.upkeep.passes
from activities.upkeep.passes import CartPasses, Prepare
from activities.waking import RelayWaker
from adapters.mongo.batches import CartBatches, ScheduledChange
from adapters.mongo.cart_scans import CartRef, CartScans
from adapters.mongo.operations import OperationStore
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.redis.cart_cache import CachedCart, CartCache
from adapters.redis.pool import RedisPool
from models.documents import Cart, OperationRecord, bucket_of
from models.errors import DependencyUnavailable
from models.events import CART_CLEARED
from models.limits import Policy
from models.operations import ClearCart, UpdateQuantity
from models.outcomes import AbortReason, Outcome
from models.runners import Share
from models.steps import SettleOperation
from models.upkeep.passes import PassedPage, PassInput, PassPage, PassResult
from tests.support.carts import add_until_committed, clear_reasons, expire, plant_cart
from tests.support.keys import KEYRING
from tests.support.relays import details
from tests.support.schedules import in_the_middle_of_a_pass, paused_schedules
from tests.support.shop import Event, Shop, World
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids, policies
from workflows.gateway import CartGateway
from workflows.requests import policy_of
from workflows.update_quantity import UpdateQuantityWorkflow
from workflows.upkeep.expiry import ExpiryWorkflow
from workflows.upkeep.operations import abandonment_of, expiry_of, lapse_of, thaw_of

LONG_AGO = timedelta(days=-6)  # before the TTL index of MongoDB deletes the cart


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


async def begin(bench: Bench) -> WorkflowHandle[Any, PassResult]:
    return await bench.shop.world.temporal.start_workflow(
        ExpiryWorkflow.run, PassInput(), id=f"expiry-{uuid4()}", task_queue=bench.task_queue
    )


async def pass_over(bench: Bench) -> PassResult:
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

    assert (result.changed, result.left) == (1, 0)
    assert await buyer.cart() is None
    assert (await buyer.get()).status_code == 404
    await eventually(partial(assert_settled, shop), timeout=60)
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
        ("in-an-hour", timedelta(hours=1)),
    ):
        await plant_cart(shop, user_id, {"headphones": 1}, expires_in=expires_in)
    assert (await pass_over(bench)).changed == 2
    assert [cart.key.user_id for cart in await Cart.find({"storeId": shop.store_id}).to_list()] == [
        "in-an-hour"
    ]

    async def one_is_left() -> None:
        assert await shop.holds() == {("in-an-hour", "headphones"): 1}

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


async def assert_settled(shop: Shop) -> None:
    """All effects are done, and the holds are the cart lines. The sweep, which is paused, would
    wake the relays of what is pending."""
    await wake_relays(shop)
    await shop.assert_consistent()
    assert not [record for record in await shop.records() if record.pending]


async def wake_relays(shop: Shop) -> None:
    shards = shop.world.settings.relay_shards
    for record in await shop.records():
        for kind in record.due:
            shard = bucket_of(record.key) % shards
            await gateway_of(shop.world).wake_relay(kind, shard, shards=shards)


def page_of(**fields: Any) -> PassPage:
    """A page of all buckets."""
    now = datetime.now(UTC)
    whole = {"before": now, "at": now, "share": Share(runner=0, runners=1), "left": ()}
    return PassPage(**whole | {"limit": 10} | fields)


@asynccontextmanager
async def steps_of(
    shop: Shop, *, expired: CartBatches | None = None, prepare: Prepare | None = None
) -> AsyncIterator[Callable[[PassPage], Awaitable[PassedPage]]]:
    """The step on a page, called in this process."""
    world = shop.world
    redis = RedisPool(world.settings.redis)

    steps = CartPasses(
        CartScans(),
        expired or CartBatches(world.carts.client),
        CartCache(redis, KEYRING, ttl_seconds=60),
        StorePolicies(policy_of(world.settings), StoreSettingsStore().read_all),
        expire=prepare or expiry_of,
        lapse=lapse_of,
        thaw=thaw_of,
        abandon=abandonment_of,
        waker=RelayWaker(
            partial(gateway_of(world).wake_relay, shards=world.settings.relay_shards),
            shards=world.settings.relay_shards,
        ),
        caching=True,
    )

    async def run(page: PassPage) -> PassedPage:
        result: PassedPage = await ActivityEnvironment().run(steps.expire_page, page)
        return result

    yield run
    await redis.close()


class ClearsAfter(CartBatches):
    """Clears carts after something else has happened since they were found."""

    def __init__(self, shop: Shop, before: Callable[[], Awaitable[object]]) -> None:
        super().__init__(shop.world.carts.client)
        self._before = before

    async def change(self, changes: Sequence[ScheduledChange]) -> list[OperationRecord]:
        await self._before()
        return await super().change(changes)


async def assert_an_add_in_the_middle_is_kept(shop: Shop, prepare: Prepare | None = None) -> None:
    """An add to the cart commits between its discovery and its clear."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await add_until_committed(buyer)
    await expire(shop, buyer.user_id)
    expired = ClearsAfter(shop, partial(add_until_committed, buyer))
    async with steps_of(shop, expired=expired, prepare=prepare) as expire_page:
        page = await expire_page(page_of())
    cart = await buyer.cart()
    assert cart is not None, "the add was answered 201, and its cart is gone"
    assert (cart.quantity, page.changed, page.left) == (2, 0, ())
    await eventually(partial(assert_settled, shop), timeout=60)


async def test_an_add_between_discovery_and_clear_keeps_the_cart(shop: Shop) -> None:
    await assert_an_add_in_the_middle_is_kept(shop)


async def test_a_build_without_the_second_check_loses_the_add(shop: Shop) -> None:
    def without_a_second_look(
        policy: Policy, cart: CartRef, page: PassPage, run_id: str
    ) -> ScheduledChange:
        saga, operation, _ = expiry_of(policy, cart, page, run_id)
        return ScheduledChange(saga, operation.model_copy(update={"expired_by": None}))

    with pytest.raises(AssertionError, match="its cart is gone"):
        await assert_an_add_in_the_middle_is_kept(shop, without_a_second_look)


async def test_an_add_in_the_middle_of_the_transaction_keeps_the_cart(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the expired cart, and the add commits before it does; other carts are cleared."""
    await shop.stock("headphones", 10)
    buyer, other = shop.buyer(), shop.buyer()
    for one in (buyer, other):
        await add_until_committed(one)
        await expire(shop, one.user_id)
    tries = in_the_middle_of_a_pass(monkeypatch, lambda: add_until_committed(buyer))
    async with steps_of(shop) as expire_page:
        page = await expire_page(page_of())
    assert (page.changed, page.left, len(tries)) == (1, (), 2)
    cart = await buyer.cart()
    assert cart is not None
    assert cart.quantity == 2
    assert await other.cart() is None
    await eventually(partial(assert_settled, shop), timeout=60)


async def test_an_update_that_was_under_way_is_refused_and_undone(bench: Bench) -> None:
    """It has loaded the cart and reserved more units, and the cart expires: as if it came later."""
    shop = bench.shop
    buyer = shop.buyer()
    await add_until_committed(buyer, quantity=2)
    cart = await buyer.cart()
    assert cart is not None
    await expire(shop, buyer.user_id)
    arrived, go_on = bench.faults.hold("persist")
    update = UpdateQuantity(
        **bench.common(buyer, "5"), cart_id=str(cart.id), product_id="headphones", quantity=5
    )
    handle = await bench.run(UpdateQuantityWorkflow.run, buyer, update)
    await arrived.wait()
    assert (await shop.units("headphones"))[1] == 5
    assert (await pass_over(bench)).changed == 1
    go_on.set()
    result = await handle.result()
    assert (result.outcome, result.why) == (Outcome.REJECTED, "cart_not_found")
    await eventually(partial(all_units_are_free, shop), timeout=60)


async def all_units_are_free(shop: Shop) -> None:
    assert await shop.units("headphones") == (10, 0, 0)


async def test_an_update_whose_worker_died_is_undone_after_the_cart_has_expired(
    bench: Bench,
) -> None:
    """A later try does not know what the first one has reserved, and the cart is not there."""
    shop = bench.shop
    buyer = shop.buyer()
    await add_until_committed(buyer, quantity=2)
    cart = await buyer.cart()
    assert cart is not None
    await expire(shop, buyer.user_id)
    update = UpdateQuantity(
        **bench.common(buyer, "5"), cart_id=str(cart.id), product_id="headphones", quantity=5
    )
    saga = ids.saga_of(update, run_id="first-try", started_at=datetime.now(UTC))
    await shop.world.inventory.post(
        "/api/v1/inventories/reserve",
        json={
            "storeId": shop.store_id,
            "productId": "headphones",
            "quantity": 3,
            "userId": buyer.user_id,
            "sagaId": saga.saga_id,
            "reservationType": "cart",
        },
    )
    assert (await shop.units("headphones"))[1] == 5
    assert (await pass_over(bench)).changed == 1
    settle = SettleOperation(
        saga=saga, operation=update, reason=AbortReason.DEADLINE, reserved=None
    )
    settled = await OperationStore(shop.world.carts.client, KEYRING).settle(settle)
    assert settled.outcome is Outcome.ABORTED
    await wake_relays(shop)
    await eventually(partial(all_units_are_free, shop), timeout=60)


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
    assert [cart and cart.quantity for cart in carts].count(2) == result.changed
    await eventually(partial(assert_settled, shop), timeout=60)


async def test_a_pass_goes_through_all_pages_and_continues_as_new(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "PASS_PAGE", 1)
    for number in range(75):
        await plant_cart(
            bench.shop, f"user-{number}", {"headphones": 1}, expires_in=LONG_AGO, held=False
        )
    handle = await begin(bench)
    assert (await handle.result()).changed == 75
    latest = bench.shop.world.temporal.get_workflow_handle(handle.id)
    assert (await latest.describe()).run_id != handle.first_execution_run_id
    assert "75 cleared, 0 left" in await details(latest)
    assert "4 of 4 runners have ended" in await details(latest)


async def test_an_expired_cart_has_a_record_like_that_of_a_saga(bench: Bench) -> None:
    shop, buyer = bench.shop, bench.shop.buyer()
    await add_until_committed(buyer, quantity=3)
    cart = await buyer.cart()
    assert cart is not None
    await expire(shop, buyer.user_id)
    run = await begin(bench)
    await run.result()
    [record] = [one for one in await shop.records() if one.operation == "ClearCart"]
    assert (record.state, record.reason, record.cart_id) == ("committed", "expired", str(cart.id))
    assert (record.run_id, record.version) == (run.first_execution_run_id, cart.version + 1)
    assert [(line.product_id, line.before, line.moved) for line in record.lines] == [
        ("headphones", 3, -3)
    ]
    assert {effect.kind for effect in record.effects} == {"event", "release"}
    assert await cached_versions(shop, buyer.user_id) == [None]


async def cached_versions(shop: Shop, user_id: str) -> list[CachedCart | None]:
    redis = RedisPool(shop.world.settings.redis)
    cached = await CartCache(redis, KEYRING, ttl_seconds=60).peek(shop.store_id, [user_id])
    await redis.close()
    return cached


async def test_a_page_that_is_tried_again_clears_what_is_left_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies after the first of its transactions."""
    monkeypatch.setattr(activities.upkeep.passes, "BATCH", 2)
    for name in ("a", "b", "c", "d"):
        await plant_cart(shop, name, {"headphones": 1}, expires_in=LONG_AGO, held=False)
    page = page_of()

    class Dies(CartBatches):
        done = 0

        async def change(self, changes: Sequence[ScheduledChange]) -> list[OperationRecord]:
            if self.done:
                raise asyncio.CancelledError
            self.done += 1
            return await super().change(changes)

    async with steps_of(shop, expired=Dies(shop.world.carts.client)) as expire_page:
        with pytest.raises(asyncio.CancelledError):
            await expire_page(page)
    async with steps_of(shop) as expire_page:
        assert (await expire_page(page)).changed == 2
        assert (await expire_page(page)).changed == 0
    assert await clear_reasons(shop) == ["expired"] * 4


async def test_a_cart_that_cannot_be_cleared_holds_up_no_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "sick", "d", "e"):
        await plant_cart(shop, name, {"headphones": 1}, expires_in=LONG_AGO, held=False)
    apply = ClearCart.apply

    def fails_for_one(operation: ClearCart, cart: Any, context: Any) -> Any:
        if operation.user_id == "sick":
            raise ValueError("it has a line without a price")
        return apply(operation, cart, context)

    monkeypatch.setattr(ClearCart, "apply", fails_for_one)
    async with steps_of(shop) as expire_page:
        first = await expire_page(page_of(limit=5))
        assert (first.changed, len(first.left), first.more) == (4, 1, True)
        second = await expire_page(page_of(left=first.left))
        assert (second.changed, second.left, second.more) == (0, (), False)
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_while_mongodb_is_away_what_was_cleared_before_is_counted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.upkeep.passes, "BATCH", 1)
    for name in ("a", "b", "c"):
        await plant_cart(shop, name, {"headphones": 1}, expires_in=LONG_AGO, held=False)
    answers = [True, True, False]

    class GoesAway(CartBatches):
        async def change(self, changes: Sequence[ScheduledChange]) -> list[OperationRecord]:
            if answers and not answers.pop(0):
                answers.insert(0, False)
                raise DependencyUnavailable("mongodb")
            return await super().change(changes)

    async with steps_of(shop, expired=GoesAway(shop.world.carts.client)) as expire_page:
        page = await expire_page(page_of())
        assert (page.changed, page.left, page.more) == (2, (), True)
        with pytest.raises(ApplicationError, match="mongodb is unavailable"):
            await expire_page(page_of())
        answers.clear()
        last = await expire_page(page_of())
        assert (last.changed, last.more) == (1, False)
