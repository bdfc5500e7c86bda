"""Every use of Redis on a server in cluster mode, which refuses commands over several slots."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from adapters.inventory import Stock
from adapters.redis.answers import AnswerInbox, reply_message
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from dev.stack.binaries import redis_server
from dev.stack.ports import more_free_ports
from models.cart import CartKey, CartVersion
from models.outcomes import OperationResult, Outcome
from models.saga import ReplyTo
from settings import LOCALHOST, LogLevel
from tests.support.keys import KEYRING
from tests.support.waiting import eventually

SLOTS = 16384
KEY = CartKey("store-1", "ada")
CART_ID = "507f1f77bcf86cd799439013"
BODY = f'{{"_id":"{CART_ID}"}}'.encode()
PRODUCTS = ("headphones", "lamp", "mug")


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[SecretStr]:
    """A Valkey in cluster mode that has all slots."""
    [port] = more_free_ports(1)
    # The port of the cluster's bus is not used, but must be free.
    [bus] = more_free_ports(1)
    options = {"port": port, "cluster-port": bus, "bind": LOCALHOST, "dir": tmp_path, "save": ""}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(
        str(redis_server()),
        *arguments,
        *("--cluster-enabled", "yes"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    address = f"redis://{LOCALHOST}:{port}"
    client = Redis.from_url(address)

    async def has_all_slots() -> None:
        try:
            assert b"cluster_state:ok" in await client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            raise AssertionError(str(error)) from error

    async def takes_all_slots() -> None:
        try:
            await client.execute_command(  # type: ignore[no-untyped-call]
                "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1
            )
        except RedisConnectionError as error:
            raise AssertionError(str(error)) from error

    try:
        await eventually(takes_all_slots)
        await eventually(has_all_slots)
        yield SecretStr(address)
    finally:
        await client.aclose()
        process.kill()
        await process.wait()


@pytest.fixture
async def redis(url: SecretStr) -> AsyncIterator[RedisPool]:
    pool = RedisPool(url)
    yield pool
    await pool.close()


async def test_the_server_refuses_a_command_over_several_slots(url: SecretStr) -> None:
    client = Redis.from_url(url.get_secret_value())
    with pytest.raises(ResponseError, match="same slot"):
        await client.delete("Cart:store-1:ada:v1", "Cart:store-1:ada:latest_version")
    await client.aclose()


async def test_carts_and_stock(redis: RedisPool) -> None:
    carts, stock = (
        CartCache(redis, KEYRING, ttl_seconds=60),
        StockCache(redis, KEYRING, ttl_seconds=60),
    )
    for product in PRODUCTS:
        await stock.put("store-1", product, Stock(5, 1))
    assert await stock.get("store-1", PRODUCTS) == dict.fromkeys(PRODUCTS, Stock(5, 1))
    for version in (1, 2):
        await carts.put(KEY, version=version, body=BODY, stale_products=PRODUCTS[:2])
    assert await stock.get("store-1", PRODUCTS) == {"mug": Stock(5, 1)}
    assert await carts.get(KEY, CartVersion(CART_ID, 1)) is None
    assert await carts.get(KEY, CartVersion(CART_ID, 2)) == BODY
    assert await carts.cached_users("store-1", limit=10) == ["ada"]
    [ada, nobody] = await carts.peek("store-1", ["ada", "nobody"])
    assert (ada and (ada.version, ada.body), nobody) == ((2, BODY), None)
    await carts.fill(KEY, 3, BODY)
    await carts.forget(KEY)
    assert await carts.peek("store-1", ["ada"]) == [None]
    await carts.drop(KEY, version=3)
    assert await carts.get(KEY, CartVersion(CART_ID, 3)) is None
    await stock.drop("store-1", PRODUCTS)
    assert await stock.get("store-1", PRODUCTS) == {}


async def test_replies(url: SecretStr, redis: RedisPool) -> None:
    inbox = AnswerInbox(url, KEYRING)
    inbox.open()

    async def listens() -> None:
        assert inbox.is_listening

    try:
        await eventually(listens)
        expected = inbox.expect("attempt")
        names = ("operation", "operation_id", "record_id", "saga_id")
        result = OperationResult(outcome=Outcome.UNCHANGED, **dict.fromkeys(names, "1"))
        reply_to = ReplyTo(channel=inbox.channel, attempt_id="attempt")
        reply = reply_message(KEYRING, reply_to, result)
        await CartCache(redis, KEYRING, ttl_seconds=60).put(KEY, version=1, body=BODY, reply=reply)
        assert (await expected).operation_id == "1"
    finally:
        await inbox.close()


async def test_rate_limits_and_log_levels(redis: RedisPool) -> None:
    limiter = RateLimiter(redis)
    assert [(await limiter.take("ada", per_minute=1)).allowed for _ in range(2)] == [True, False]
    levels: list[str] = []
    follower = LogLevels(redis, KEYRING, usual="info", apply=levels.append)
    await LogLevels(redis, KEYRING, usual="info", apply=lambda _: None).override(
        "debug", seconds=60
    )

    async def followed() -> None:
        assert levels == [LogLevel.DEBUG]

    async with follower.following():
        await eventually(followed)
