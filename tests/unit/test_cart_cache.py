"""Carts and stock in Redis: no reader sees another's, an older or a forged value."""

import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from adapters.inventory import Stock
from adapters.keyring import Keyring
from adapters.redis.answers import CHANGED, ReplyMessage, change_hint
from adapters.redis.cart_cache import CachedCart, CartCache
from adapters.redis.stock_cache import StockCache
from models.cart import CartKey, CartVersion
from models.errors import DependencyUnavailable
from tests.fakes.redis import FakePool
from tests.support.keys import KEYRING

ADA, BOB = CartKey("store-1", "ada"), CartKey("store-1", "bob")
CART_ID = "507f1f77bcf86cd799439013"
REPLY = ReplyMessage("cart:answers:api-1", b"reply")
TTL = 600


def body(quantity: int = 1, cart_id: str = CART_ID) -> bytes:
    return f'{{"_id":"{cart_id}","quantity":{quantity}}}'.encode()


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def cache(pool: FakePool) -> CartCache:
    return CartCache(cast(Any, pool), KEYRING, ttl_seconds=TTL)


@pytest.fixture
def stock(pool: FakePool) -> StockCache:
    return StockCache(cast(Any, pool), KEYRING, ttl_seconds=TTL)


async def test_a_reader_gets_the_version_that_is_stored_and_no_other(cache: CartCache) -> None:
    await cache.put(ADA, version=3, body=body())
    assert await cache.get(ADA, CartVersion(CART_ID, 3)) == body()
    assert await cache.get(ADA, CartVersion(CART_ID, 4)) is None
    assert await cache.get(BOB, CartVersion(CART_ID, 3)) is None


async def test_a_new_version_replaces_the_one_before(cache: CartCache, pool: FakePool) -> None:
    await cache.put(ADA, version=3, body=body(1))
    await cache.put(ADA, version=4, body=body(2))
    assert await cache.get(ADA, CartVersion(CART_ID, 3)) is None
    assert await cache.peek("store-1", ["ada", "bob"]) == [CachedCart(4, body(2)), None]
    assert set(pool.redis.ttls.values()) == {TTL}


async def test_a_users_next_cart_is_not_the_cached_one_of_the_same_version(
    cache: CartCache,
) -> None:
    await cache.put(ADA, version=1, body=body())
    assert await cache.get(ADA, CartVersion("507f1f77bcf86cd799439099", 1)) is None


def copied(values: dict[str, bytes]) -> None:
    """Another user's cart in this user's place."""
    values["Cart:store-1:ada:v3"] = values["Cart:store-1:bob:v3"]


def older(values: dict[str, bytes]) -> None:
    """An older version in the place of the present one."""
    values["Cart:store-1:ada:v3"] = values["Cart:store-1:ada:v2"]


def forged(values: dict[str, bytes]) -> None:
    key = "Cart:store-1:ada:v3"
    values[key] = values[key].replace(b'"quantity":1', b'"quantity":9')


def unsigned(values: dict[str, bytes]) -> None:
    values["Cart:store-1:ada:v3"] = body()


@pytest.mark.parametrize("attack", [copied, older, forged, unsigned])
async def test_a_value_that_was_not_written_for_the_cart_counts_as_absent(
    attack: Callable[[dict[str, bytes]], None], cache: CartCache, pool: FakePool
) -> None:
    await cache.fill(BOB, 3, body())
    await cache.fill(ADA, 2, body())
    await cache.put(ADA, version=3, body=body())
    await cache.fill(ADA, 2, body())
    attack(pool.redis.values)
    assert await cache.get(ADA, CartVersion(CART_ID, 3)) is None
    assert await cache.peek("store-1", ["ada"]) == [CachedCart(3, None)]


async def test_a_value_signed_with_a_secret_that_is_no_longer_used_is_absent(
    cache: CartCache, pool: FakePool
) -> None:
    await cache.put(ADA, version=3, body=body())
    other = Keyring(["another-secret-that-is-long-enough-for-this"])
    rotated = CartCache(cast(Any, pool), other, ttl_seconds=TTL)
    assert await rotated.get(ADA, CartVersion(CART_ID, 3)) is None


async def test_a_reader_does_not_change_which_version_is_the_latest(cache: CartCache) -> None:
    await cache.put(ADA, version=4, body=body(4))
    await cache.fill(ADA, 3, body(3))
    assert await cache.peek("store-1", ["ada"]) == [CachedCart(4, body(4))]


async def test_a_change_is_published_after_the_reply_and_without_the_users_name(
    cache: CartCache, pool: FakePool
) -> None:
    await cache.put(ADA, version=3, body=body(), reply=REPLY)
    await cache.drop(ADA, version=3, reply=REPLY)
    await cache.announce(REPLY, ADA)
    hint = (CHANGED, change_hint(ADA))
    assert pool.redis.published == [("cart:answers:api-1", b"reply"), hint] * 3
    assert b"ada" not in change_hint(ADA)


async def test_a_cleared_cart_is_gone_from_the_cache(cache: CartCache, pool: FakePool) -> None:
    await cache.put(ADA, version=3, body=body())
    await cache.drop(ADA, version=3)
    await cache.put(ADA, version=1, body=body())
    await cache.put(BOB, version=2, body=body())
    await cache.drop_all([(ADA, 1), (BOB, 2)])
    assert pool.redis.values == {}


@pytest.mark.parametrize("latest", [b"3", b"three", b"9" * 40])
async def test_a_cart_is_forgotten_whatever_its_latest_version_says(
    latest: bytes, cache: CartCache, pool: FakePool
) -> None:
    await cache.put(ADA, version=3, body=body())
    pool.redis.values["Cart:store-1:ada:latest_version"] = latest
    await cache.forget(ADA)
    assert await cache.peek("store-1", ["ada"]) == [None]


async def test_all_keys_of_a_user_are_erased_and_no_others(
    cache: CartCache, pool: FakePool
) -> None:
    star = "a*"  # would match other users
    for store, user in [("s1", star), ("s2", star), ("s1", "ada"), ("s1", "a*:x")]:
        await cache.put(CartKey(store, user), version=3, body=body())
    assert len(await cache.keys_of_user(star, None)) == 4
    assert await cache.erase_user(star, "s1") == 2
    assert await cache.erase_user(star, None) == 2
    assert await cache.erase_user(star, None) == 0
    assert await cache.cached_users("s1", limit=10) == ["a*:x", "ada"]
    assert await cache.cached_users("s1", limit=1) == ["a*:x"]
    assert len(pool.redis.values) == 4


async def test_without_redis_each_call_on_carts_says_so(cache: CartCache, pool: FakePool) -> None:
    pool.down = True
    for call in (
        cache.get(ADA, CartVersion(CART_ID, 3)),
        cache.put(ADA, version=3, body=body()),
        cache.peek("store-1", ["ada"]),
        cache.cached_users("store-1", limit=1),
    ):
        with pytest.raises(DependencyUnavailable, match="redis is unavailable"):
            await call
    assert await cache.peek("store-1", []) == []


async def test_the_stock_of_products_is_cached_until_it_changes(
    stock: StockCache, cache: CartCache
) -> None:
    for product, available in (("lamp", 5), ("mug", 7)):
        await stock.put("store-1", product, Stock(available, 1))
    found = await stock.get("store-1", ["lamp", "mug", "pen"])
    assert found == {"lamp": Stock(5, 1), "mug": Stock(7, 1)}
    await stock.drop("store-1", {"lamp"})
    await cache.put(ADA, version=3, body=body(), stale_products=["mug"])
    assert await stock.get("store-1", ["lamp", "mug"]) == {}


async def test_stock_of_another_product_or_store_is_not_believed(
    stock: StockCache, pool: FakePool
) -> None:
    await stock.put("store-1", "lamp", Stock(5, 0))
    value = pool.redis.values["inventory:store-1:lamp"]
    pool.redis.values |= {"inventory:store-1:mug": value, "inventory:store-2:lamp": value}
    assert await stock.get("store-1", ["mug"]) == await stock.get("store-2", ["lamp"]) == {}


async def test_without_redis_no_stock_is_known_and_nothing_fails(
    stock: StockCache, pool: FakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool.down = True
    with caplog.at_level(logging.WARNING):
        await stock.put("store-1", "lamp", Stock(5, 0))
        await stock.drop("store-1", {"lamp"})
        assert await stock.get("store-1", ["lamp"]) == {}
    assert caplog.records == []  # the circuit breaker logs it, once
