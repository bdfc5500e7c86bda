"""Write access to Redis does not allow forged answers.

Each test plants a value as an attacker or a wrong client would, and reads as a shopper.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.keyring import Keyring
from adapters.redis import log_levels
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import WINDOW_SECONDS, RateLimiter
from models.cart import CartKey
from tests.support.keys import KEYRING
from tests.support.shop import Buyer, Shop

TTL = 60


@pytest.fixture
async def redis(shop: Shop) -> AsyncIterator[RedisPool]:
    pool = RedisPool(shop.world.settings.redis)
    yield pool
    await pool.close()


async def with_cart(shop: Shop) -> Buyer:
    buyer = shop.buyer()
    assert (await buyer.add("lamp", quantity=1)).status_code == 201
    assert (await buyer.get()).status_code == 200
    return buyer


def key_of(buyer: Buyer) -> str:
    return f"Cart:{buyer.shop.store_id}:{buyer.user_id}:v1"


async def rejected(shop: Shop) -> float:
    """How many carts in Redis the API has rejected."""
    text = (await shop.world.http.get("/metrics")).text
    name = 'cart_redis_rejected_total{use="cart"} '
    return float(next((s[len(name) :] for s in text.splitlines() if s.startswith(name)), "0"))


async def test_no_cart_is_shown_as_another_users(shop: Shop, redis: RedisPool) -> None:
    await shop.stock("lamp", 10)
    mine, theirs = await with_cart(shop), await with_cart(shop)
    async with redis.client("cart") as client:
        value = await client.get(key_of(theirs))
        assert value is not None
        # Also with the id that the reader expects.
        my_id, their_id = (str(c.id) for c in (await mine.cart(), await theirs.cart()) if c)
        for planted in (value, value.replace(their_id.encode(), my_id.encode())):  # type: ignore[arg-type]
            await client.set(key_of(mine), planted, ex=TTL)
            assert (await mine.get()).json()["userId"] == mine.user_id


async def test_no_forged_price_is_shown_and_it_is_counted(shop: Shop, redis: RedisPool) -> None:
    await shop.stock("lamp", 10)
    buyer = await with_cart(shop)
    before = await rejected(shop)
    body = (await buyer.get()).json()
    cheap = body | {"totalPrice": 0.01}
    forgers = [json.dumps(cheap).encode(), b"\xff\x00", b"", b"[]"]
    async with redis.client("cart") as client:
        own = await client.get(key_of(buyer))
        assert json.loads(own or "")["totalPrice"] == body["totalPrice"], "it is plain JSON"
        forgers.append((own or b"").replace(b"79.99", b"00.01"))  # type: ignore[arg-type]
        for planted in forgers:
            await client.set(key_of(buyer), planted, ex=TTL)
            assert (await buyer.get()).json() == body
    assert await rejected(shop) == before + len(forgers)


async def test_a_latest_version_that_is_no_number_breaks_nothing(
    shop: Shop, redis: RedisPool
) -> None:
    await shop.stock("lamp", 10)
    buyer = await with_cart(shop)
    cache, key = CartCache(redis, KEYRING, ttl_seconds=TTL), CartKey(shop.store_id, buyer.user_id)
    for planted in (b"many", b"-1", b"9" * 100, b""):
        async with redis.client("cart") as client:
            await client.set(
                f"Cart:{shop.store_id}:{buyer.user_id}:latest_version", planted, ex=TTL
            )
        [found] = await cache.peek(shop.store_id, [buyer.user_id])
        assert found is not None
        assert (found.version, found.body) == (0, None)
        await cache.forget(key)


async def test_a_log_level_is_not_forged_and_not_for_ever(redis: RedisPool) -> None:
    levels: list[str] = []
    follower = LogLevels(redis, KEYRING, usual="info", apply=levels.append)
    tomorrow = datetime.now(UTC) + timedelta(hours=23)
    text = json.dumps({"level": "debug", "until": tomorrow.isoformat()})
    async with redis.client("log_level") as client:
        await client.set(log_levels.KEY, text)
    await follower._follow()
    assert levels == []
    stranger = LogLevels(redis, Keyring(["x" * 32]), usual="info", apply=lambda _: None)
    await stranger.override("debug", seconds=TTL)
    await follower._follow()
    assert levels == []
    ours = LogLevels(redis, KEYRING, usual="info", apply=lambda _: None)
    await ours.override("debug", seconds=log_levels.MAX_SECONDS + 600)
    await follower._follow()
    assert levels == []
    await ours.override("debug", seconds=1)
    await follower._follow()
    assert levels == ["debug"]
    async with redis.client("log_level") as client:
        await client.delete(log_levels.KEY)


@pytest.mark.parametrize(
    "bucket",
    [
        {"tokens": "1e18", "at": "0"},
        {"tokens": "-1e18", "at": "0"},
        {"tokens": "nan", "at": "nan"},
        {"tokens": "0", "at": "1e18"},
        {"tokens": "many", "at": "never"},
    ],
)
async def test_an_implausible_rate_limit_bucket_is_a_full_one(
    redis: RedisPool, bucket: dict[Any, Any]
) -> None:
    limiter = RateLimiter(redis)
    async with redis.client("rate_limit") as client:
        await client.delete("cart:rate:forged")
        await client.hset("cart:rate:forged", mapping=bucket)
        await client.expire("cart:rate:forged", WINDOW_SECONDS)
    taken = await limiter.take("forged", per_minute=5)
    assert (taken.allowed, taken.remaining) == (True, 4)
    await limiter.forget("forged")
