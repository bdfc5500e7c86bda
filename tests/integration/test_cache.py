"""The caches on the real Redis: the cart's pointer and tombstone, and the stock behind a line."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from adapters.inventory import Stock
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from adapters.redis.stock_cache import StockCache
from tests.support.shop import Shop, World
from tests.support.waiting import eventually

BORN = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
CLEARED = BORN + timedelta(minutes=1)
BORN_AGAIN = BORN + timedelta(minutes=2)


@pytest.fixture
async def redis(world: World) -> AsyncIterator[RedisPool]:
    pool = RedisPool(world.settings.redis)
    yield pool
    await pool.close()


class UserCache:
    """The cache as one user's reads and sagas use it."""

    def __init__(self, redis: RedisPool) -> None:
        self._cache = CartCache(redis, ttl_seconds=60)
        self._key = ("store", uuid4().hex)

    async def put(self, born: datetime, version: int) -> bool:
        body = f"{born:%H:%M} v{version}".encode()
        return await self._cache.put(*self._key, created_at=born, version=version, body=body)

    async def drop(self, at: datetime) -> None:
        await self._cache.drop(*self._key, at=at)

    async def read(self) -> str | None:
        body = (await self._cache.get(*self._key)).body
        return None if body is None else body.decode()

    async def epoch(self) -> bytes | None:
        return (await self._cache.get(*self._key)).epoch


async def test_the_pointer_only_moves_forward(redis: RedisPool) -> None:
    cache = UserCache(redis)
    assert await cache.read() is None
    assert await cache.put(BORN, 2)
    assert not await cache.put(BORN, 1)
    assert await cache.read() == "10:30 v2"
    assert await cache.put(BORN, 2)  # a reader with the same version
    assert await cache.put(BORN, 3)
    assert await cache.read() == "10:30 v3"


async def test_a_slow_reader_cannot_bring_a_cleared_cart_back(redis: RedisPool) -> None:
    cache = UserCache(redis)
    await cache.put(BORN, 7)
    before = await cache.epoch()
    await cache.drop(CLEARED)
    assert await cache.read() is None
    assert await cache.epoch() not in {before, None}
    assert not await cache.put(BORN, 7)
    assert not await cache.put(BORN, 8)
    assert await cache.read() is None


async def test_the_next_cart_is_not_hidden_by_the_old_ones_pointer(redis: RedisPool) -> None:
    cache = UserCache(redis)
    await cache.put(BORN, 7)
    await cache.drop(CLEARED)
    assert await cache.put(BORN_AGAIN, 1)
    assert await cache.read() == "10:32 v1"
    assert not await cache.put(BORN, 8)
    assert await cache.read() == "10:32 v1"


async def test_a_late_clear_does_not_drop_the_next_cart(redis: RedisPool) -> None:
    cache = UserCache(redis)
    await cache.put(BORN_AGAIN, 1)
    await cache.drop(CLEARED)
    assert await cache.read() == "10:32 v1"


async def test_without_redis_no_stock_is_known_and_nothing_fails() -> None:
    redis = RedisPool(SecretStr("redis://127.0.0.1:1/0"))
    stock = StockCache(redis, ttl_seconds=60)
    await stock.put("store", "headphones", Stock(1, 0))
    await stock.drop("store", {"headphones"})
    assert await stock.get("store", {"headphones"}) == {}
    await redis.close()


async def test_stock_is_cached_by_who_reads_and_dropped_by_every_operation(
    shop: Shop, redis: RedisPool
) -> None:
    stock = StockCache(redis, ttl_seconds=60)
    await shop.stock("headphones", 200)
    buyer = shop.buyer()
    url = f"/api/v1/cart/{(await buyer.add(quantity=60)).json()['_id']}"

    async def is_known() -> None:
        assert (await buyer.get()).status_code == 200
        assert "headphones" in await stock.get(shop.store_id, {"headphones", "other"})

    async def is_dropped() -> None:
        assert await stock.get(shop.store_id, {"headphones"}) == {}

    async def change(method: str, url: str, status: int, **body: Any) -> None:
        # Nothing of the operation before may drop what is read now.
        await eventually(lambda: nothing_pending(shop))
        await eventually(is_known)
        answer = await shop.world.http.request(
            method, url, headers=buyer.headers, json=body or None
        )
        assert answer.status_code == status, answer.text
        await eventually(is_dropped)

    product = {"productId": "headphones"}
    added = product | {"productTitle": "Wireless Headphones", "productPrice": 79.99}
    await change("POST", buyer.path, 201, **added, quantity=1)
    await change("PUT", url, 200, **product, quantity=90)
    await change("PUT", url, 200, **product, quantity=80)
    await change("POST", buyer.path, 400, **added, quantity=30)  # reserved, refused, undone
    await change("DELETE", url, 200, **product)
    await buyer.add(quantity=2)
    await change("DELETE", buyer.path, 200)


async def nothing_pending(shop: Shop) -> None:
    assert not any(record.pending for record in await shop.records())


async def test_a_line_without_units_shows_it_and_the_stored_cart_does_not_change(
    shop: Shop, redis: RedisPool
) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    added = await buyer.add(quantity=2)
    assert (await buyer.get()).json() == added.json()
    stock = StockCache(redis, ttl_seconds=60)
    await stock.put(shop.store_id, "headphones", Stock(available=0, held=1))
    seen = await buyer.get()
    [line] = seen.json()["cartItems"]
    assert (line["availabilityStatus"], line["unavailabilityReason"]) == (
        "out_of_stock",
        "Out of stock",
    )
    assert seen.headers["ETag"].startswith(added.headers["ETag"].rstrip('"'))
    cart = await buyer.cart()
    assert cart is not None
    assert cart.cart_items[0].availability_status == "available"
    await stock.drop(shop.store_id, {"headphones"})
    assert (await buyer.get()).json() == added.json()
