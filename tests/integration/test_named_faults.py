"""`cart doctor` names a wrong secret and a missing index of the running servers, and what to do."""

import asyncio

import pytest
from redis.asyncio import Redis

from cli.doctor.checks import examine
from cli.doctor.findings import Finding, State
from models.cart import Cart
from settings import Settings, load_settings
from tests.support.commands import cart
from tests.support.shop import World
from tests.support.waiting import eventually


async def found(settings: Settings, part: str) -> Finding:
    examined = await asyncio.to_thread(examine, settings)
    [finding] = [one for one in examined.findings if one.part == part]
    return finding


async def test_a_wrong_password_of_mongodb(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    server = f"127.0.0.1:{world.settings.mongodb_port}"
    monkeypatch.setenv("MONGODB_URI", f"mongodb://cart:wrong@{server}/?authSource=admin")
    finding = await found(load_settings(), "MongoDB")
    assert finding.state is State.FAILED
    assert "refuses us: Authentication failed" in finding.what
    assert "wrong" not in finding.what
    assert finding.advice == "check the user and password in MONGODB_URI"


async def test_a_password_of_redis_that_was_changed(world: World) -> None:
    redis: Redis = Redis.from_url(world.settings.redis.get_secret_value())
    await redis.config_set("requirepass", "changed")
    try:
        finding = await found(world.settings, "Redis")
    finally:
        await redis.config_set("requirepass", "")
        await redis.aclose()
    assert finding.state is State.FAILED
    assert "refuses us" in finding.what
    assert finding.advice == "check REDIS_PASSWORD or REDIS_URL"

    async def well() -> None:
        assert (await found(world.settings, "Redis")).state is State.OK

    await eventually(well)


async def test_an_index_that_is_missing(world: World) -> None:
    await Cart.get_pymongo_collection().drop_index("sellerId_1")
    finding = await found(world.settings, "MongoDB indexes")
    assert (finding.state, finding.what) == (State.FAILED, "missing: carts.sellerId_1")
    assert finding.advice == "run `cart setup`"

    ran = await cart("setup")
    assert ran.code == 0, ran.output
    assert (await found(world.settings, "MongoDB indexes")).state is State.OK
