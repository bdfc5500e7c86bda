"""The commands reconcile, rebuild-cache and replay-events, against the running stack."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from tests.support.carts import add_until_committed, hold, plant_cart
from tests.support.commands import cart
from tests.support.keys import KEYRING
from tests.support.schedules import paused_schedules
from tests.support.shop import Shop, World
from tests.support.waiting import eventually
from workflows import ids


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


async def test_reconcile_reports_drift_and_repairs_it_with_fix(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    await plant_cart(shop, "user-1", {"lamp": 2})
    await hold(shop, "user-1", "lamp", 3, saga_id="lost")

    ran = await cart("reconcile", "--store", shop.store_id)
    assert ran.code == 1, ran.output
    assert "orphaned_hold" in ran.output
    assert "5 held, 2 in the cart" in ran.output
    assert "Nothing was changed" in ran.output
    assert await shop.holds() == {("user-1", "lamp"): 5}

    ran = await cart("reconcile", "--store", shop.store_id, "--fix", "--json")
    assert ran.code == 0, ran.output
    report = json.loads(ran.output[ran.output.index("{\n") :])
    [finding] = report["findings"]
    assert (report["fix"], finding["drift"]["done"]) == (True, "released 3")
    assert f"reconcile%2F{shop.store_id}" in ran.output, "a link to the workflow"

    async def repaired() -> None:
        assert await shop.holds() == {("user-1", "lamp"): 2}

    await eventually(repaired)
    ran = await cart("reconcile", "--store", shop.store_id)
    assert ran.code == 0, ran.output
    assert "1 carts of 1 stores compared, 0 looked at again" in ran.output


async def test_an_invalid_store_id_is_refused(world: World) -> None:
    assert world.settings.port
    ran = await cart("reconcile", "--store", "a store")
    assert ran.code == 2
    assert "a store's id is 1 to 64 of" in ran.output


async def test_the_cache_is_rebuilt(shop: Shop) -> None:
    buyers = [shop.buyer() for _ in range(3)]
    await shop.stock("headphones", 10)
    for buyer in buyers:
        await add_until_committed(buyer)
    redis = RedisPool(shop.world.settings.redis)
    cache = CartCache(redis, KEYRING, ttl_seconds=60)
    for buyer in buyers:
        await cache.forget(CartKey(shop.store_id, buyer.user_id))
    wrong = CartKey(shop.store_id, buyers[0].user_id)
    await cache.put(wrong, version=2, body=b"{}")

    ran = await cart("rebuild-cache", "--store", shop.store_id, "--json")
    assert (ran.code, ran.json) == (0, {"cached": 3})

    shown = await cache.peek(shop.store_id, [buyer.user_id for buyer in buyers])
    assert [found and found.version for found in shown] == [1, 1, 1]
    for buyer, cached in zip(buyers, shown, strict=True):
        read = await buyer.get()
        assert read.status_code == 200
        assert cached is not None
        assert cached.body == read.content
    await redis.close()
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_events_are_published_again_with_the_same_ids(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    for _ in range(3):
        await add_until_committed(buyer)

    async def published() -> None:
        assert not [record for record in await shop.records() if record.pending]

    await eventually(published)
    # Pending events belong to the relay, and older ones are outside of the range.
    records = await shop.records()
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    await OperationRecord.find_one({"_id": records[0].id}).update({"$set": {"at": long_ago}})
    before = await shop.events()

    words = ("replay-events", "--since", "1h", "--store", shop.store_id)
    ran = await cart(*words, "--dry-run")
    assert (ran.code, ran.output) == (0, "2 events of 2 operations would be published again\n")
    assert await shop.events() == before

    ran = await cart(*words, "--json")
    assert ran.code == 0, ran.output
    report = ran.json
    assert (report["events"], report["operations"], report["dryRun"]) == (2, 2, False)
    after = await shop.events()
    # The same bytes again, in the order of the cart.
    assert [event.value for event in after[3:]] == [event.value for event in before[1:]]
    assert [event.headers["ce_id"] for event in after[3:]] == [
        event.headers["ce_id"] for event in before[1:]
    ]


async def test_an_invalid_time_is_refused(world: World) -> None:
    assert world.settings.port
    ran = await cart("replay-events", "--since", "yesterday")
    assert ran.code == 2
    assert "'yesterday' is no time" in ran.output


async def test_an_operator_finds_what_has_expired(shop: Shop, world: World) -> None:
    await shop.stock("lamp", 10)
    stored = await plant_cart(shop, "user-1", {"lamp": 2}, expires_in=timedelta(hours=-1))
    await world.temporal.get_schedule_handle(ids.EXPIRY_SCHEDULE).trigger()

    async def listed() -> None:
        ran = await cart("ops", "expired", "--store", shop.store_id, "--user", "user-1", "--json")
        [found] = json.loads(ran.output)["carts"]
        assert (found["cartId"], found["reason"]) == (str(stored.id), "expired")
        assert found["units"] == {"lamp": 2}

    await eventually(listed, timeout=60)
    ran = await cart("ops", "expired", "--store", shop.store_id)
    assert ran.code == 0, ran.output
    assert "2 x lamp" in ran.output
    ran = await cart("ops", "show", f"{shop.store_id}/user-1", "--json")
    assert ran.code == 0, ran.output
    shown = json.loads(ran.output)
    assert (shown["recorded"], shown["recordedReason"]) == ("committed", "expired")
    [line] = shown["lines"]
    assert (line["productId"], line["before"], line["after"]) == ("lamp", 2, 0)
