"""The caches on the real Redis: what a user sees of a cart, and the stock behind a line.

MongoDB says which version of a cart is current, so nothing that Redis has, or has lost, may show an
older one.
"""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from adapters.inventory import Stock
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from adapters.redis.stock_cache import StockCache
from models.cart import CartKey, CartVersion
from tests.support.keys import KEYRING
from tests.support.shop import Buyer, Shop, World
from tests.support.waiting import eventually


@pytest.fixture
async def redis(world: World) -> AsyncIterator[RedisPool]:
    pool = RedisPool(world.settings.redis)
    yield pool
    await pool.close()


@dataclass
class Reader:
    """A buyer, and everything that Redis may still have of their carts."""

    buyer: Buyer
    redis: RedisPool
    cache: CartCache
    seen: list[tuple[CartVersion, bytes]] = field(default_factory=list)

    @property
    def key(self) -> CartKey:
        return CartKey(self.buyer.shop.store_id, self.buyer.user_id)

    async def change(self, request: Awaitable[httpx.Response]) -> httpx.Response:
        """Makes a change; the cart of its answer may be found in Redis from now on."""
        answer = await request
        assert answer.status_code in {200, 201}, answer.text
        body = answer.json()
        if "version" in body:
            self.seen.append((CartVersion(body["_id"], body["version"]), answer.content))
        return answer

    async def add(self) -> httpx.Response:
        return await self.change(self.buyer.add())

    async def clear(self) -> None:
        await self.change(self.buyer.clear())

    async def plant_what_was(self, *, latest: int) -> None:
        """Puts all carts that were once shown back under their versions, as slow or frozen writers
        could, one of an earlier cart under the current version, and `latest` as the latest."""
        current = await self.buyer.cart()
        prefix = f"Cart:{self.key.store_id}:{self.key.user_id}"
        for was, body in self.seen:
            await self.cache.fill(self.key, was.version, body)
        for was, body in self.seen:
            if current is not None and was.cart_id != str(current.id):
                await self.cache.fill(self.key, current.version, body)
        async with self.redis.client("cart") as redis:
            await redis.set(f"{prefix}:latest_version", latest, ex=60)

    async def assert_shows(self, answer: httpx.Response) -> None:
        """Reads what the latest change was answered, also when it is read again from Redis."""
        for _ in range(2):
            read = await self.buyer.get()
            assert read.status_code == 200
            assert read.json() == answer.json()
            assert read.headers["ETag"] == answer.headers["ETag"]

    async def assert_shows_none(self) -> None:
        assert (await self.buyer.get()).status_code == 404


@pytest.fixture
async def reader(shop: Shop, redis: RedisPool) -> Reader:
    await shop.stock("headphones", 100)
    return Reader(shop.buyer(), redis, CartCache(redis, KEYRING, ttl_seconds=60))


async def test_a_version_is_found_only_as_that_of_its_cart(redis: RedisPool) -> None:
    cache, key = CartCache(redis, KEYRING, ttl_seconds=60), CartKey("store", uuid4().hex)
    one, other = CartVersion("a" * 24, 2), CartVersion("b" * 24, 2)
    body = b'{"_id":"' + one.cart_id.encode() + b'","version":2}'
    assert await cache.get(key, one) is None
    await cache.put(key, version=2, body=body)
    assert await cache.get(key, one) == body
    assert await cache.get(key, other) is None  # the user's next cart
    assert await cache.get(key, CartVersion(one.cart_id, 3)) is None
    await cache.put(key, version=3, body=body)
    assert await cache.get(key, one) is None  # replaced
    await cache.drop(key, version=3)
    assert await cache.get(key, CartVersion(one.cart_id, 3)) is None


async def test_a_slow_reader_cannot_bring_an_older_version_back(reader: Reader) -> None:
    first = await reader.add()
    second = await reader.add()
    await reader.cache.fill(reader.key, 1, first.content)
    await reader.assert_shows(second)


async def test_a_latest_version_that_is_stale_shows_nothing_older(reader: Reader) -> None:
    """As after a failover of Redis that lost the latest writes."""
    first = await reader.add()
    second = await reader.add()
    await reader.cache.forget(reader.key)
    await reader.cache.put(reader.key, version=1, body=first.content)
    await reader.assert_shows(second)


@pytest.mark.parametrize("late", [1, 2, 3])
async def test_a_slow_saga_cannot_hide_a_later_change(reader: Reader, late: int) -> None:
    """Its refresh arrives after that of a later one, whose version it may replace."""
    answers = [await reader.add() for _ in range(3)]
    await reader.cache.put(reader.key, version=late, body=answers[late - 1].content)
    await reader.assert_shows(answers[-1])


async def test_a_cleared_cart_is_not_brought_back(reader: Reader) -> None:
    answers = [await reader.add() for _ in range(2)]
    await reader.clear()
    await reader.assert_shows_none()
    for version, answer in enumerate(answers, 1):
        await reader.cache.fill(reader.key, version, answer.content)
        await reader.assert_shows_none()
        await reader.cache.put(reader.key, version=version, body=answer.content)
        await reader.assert_shows_none()


async def test_the_next_cart_is_not_hidden_by_the_one_before(reader: Reader) -> None:
    """It begins at version 1 again, under the same keys."""
    before = [await reader.add() for _ in range(2)]
    await reader.clear()
    for version, old in enumerate(before, 1):
        added = await reader.add()
        assert added.json()["version"] == version
        await reader.cache.put(reader.key, version=version, body=old.content)
        await reader.assert_shows(added)


async def test_a_late_clear_does_not_hide_the_next_cart(reader: Reader) -> None:
    await reader.add()
    await reader.clear()
    added = await reader.add()
    await reader.cache.drop(reader.key, version=1)
    await reader.assert_shows(added)


async def test_another_users_cart_is_not_shown(reader: Reader, shop: Shop) -> None:
    added = await reader.add()
    other = await shop.buyer().add()
    await reader.cache.put(reader.key, version=1, body=other.content)
    await reader.assert_shows(added)


async def test_what_is_no_cart_at_all_is_not_shown(reader: Reader) -> None:
    added = await reader.add()
    for nonsense in (b"", b"{}", b"null", b"\xff"):
        await reader.cache.put(reader.key, version=1, body=nonsense)
        await reader.assert_shows(added)


async def test_whatever_redis_still_has_every_read_shows_the_latest_change(
    reader: Reader,
) -> None:
    """A shopper's day, with all that was ever cached planted anew after each change."""
    for life in range(3):
        for change in range(4):
            answer = await reader.add()
            await reader.assert_shows(answer)
            for latest in (1, change + 2, 9):
                await reader.plant_what_was(latest=latest)
                await reader.assert_shows(answer)
        await reader.clear()
        for latest in (1, 4, 9):
            await reader.plant_what_was(latest=latest)
            await reader.assert_shows_none()
        assert len({was.cart_id for was, _ in reader.seen}) == life + 1


async def test_without_redis_the_stock_cache_is_empty_and_raises_nothing() -> None:
    redis = RedisPool(SecretStr("redis://127.0.0.1:1/0"))
    stock = StockCache(redis, KEYRING, ttl_seconds=60)
    await stock.put("store", "headphones", Stock(1, 0))
    await stock.drop("store", {"headphones"})
    assert await stock.get("store", {"headphones"}) == {}
    await redis.close()


async def test_a_read_caches_the_stock_and_every_operation_deletes_it(
    shop: Shop, redis: RedisPool
) -> None:
    stock = StockCache(redis, KEYRING, ttl_seconds=60)
    await shop.stock("headphones", 200)
    buyer = shop.buyer()
    url = f"/api/v1/cart/{(await buyer.add(quantity=60)).json()['_id']}"

    async def is_cached() -> None:
        assert (await buyer.get()).status_code == 200
        assert "headphones" in await stock.get(shop.store_id, {"headphones", "other"})

    async def is_deleted() -> None:
        assert await stock.get(shop.store_id, {"headphones"}) == {}

    async def change(method: str, url: str, status: int, **body: Any) -> None:
        # An effect of the operation before could delete the stock that is read now.
        await eventually(lambda: nothing_pending(shop))
        await eventually(is_cached)
        answer = await shop.world.http.request(
            method, url, headers=buyer.headers, json=body or None
        )
        assert answer.status_code == status, answer.text
        await eventually(is_deleted)

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


async def test_a_line_without_stock_is_shown_as_out_of_stock_and_stored_as_it_was(
    shop: Shop, redis: RedisPool
) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    added = await buyer.add(quantity=2)
    assert (await buyer.get()).json() == added.json()
    stock = StockCache(redis, KEYRING, ttl_seconds=60)
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
