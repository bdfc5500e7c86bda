"""`cart doctor` reports wrong passwords and a missing index, and how to fix them."""

import asyncio

import pytest
from redis.asyncio import Redis

from cli.doctor.checks import examine
from cli.doctor.results import CheckResult, Status
from models.documents import Cart
from settings import Settings, load_settings
from tests.support.commands import cart
from tests.support.shop import World
from tests.support.waiting import eventually


async def found(settings: Settings, part: str) -> CheckResult:
    examined = await asyncio.to_thread(examine, settings)
    [finding] = [one for one in examined if one.part == part]
    return finding


async def test_a_wrong_password_for_mongodb_is_reported(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = f"127.0.0.1:{world.settings.mongodb_port}"
    monkeypatch.setenv("MONGODB_URI", f"mongodb://cart:wrong@{server}/?authSource=admin")
    finding = await found(load_settings(), "MongoDB")
    assert finding.state is Status.FAILED
    assert "refuses us: Authentication failed" in finding.what
    assert "wrong" not in finding.what
    assert finding.advice == "check the user and password in MONGODB_URI"


async def test_a_changed_password_of_redis_is_reported(world: World) -> None:
    redis: Redis = Redis.from_url(world.settings.redis.get_secret_value())
    await redis.config_set("requirepass", "changed")
    try:
        finding = await found(world.settings, "Redis")
    finally:
        await redis.config_set("requirepass", "")
        await redis.aclose()
    assert finding.state is Status.FAILED
    assert "refuses us" in finding.what
    assert finding.advice == "check REDIS_PASSWORD or REDIS_URL"

    async def no_problem() -> None:
        assert (await found(world.settings, "Redis")).state is Status.OK

    await eventually(no_problem)


async def test_a_missing_index_is_reported_until_setup_creates_it(world: World) -> None:
    await Cart.get_pymongo_collection().drop_index("sellerId_1")
    finding = await found(world.settings, "MongoDB indexes")
    assert (finding.state, finding.what) == (Status.FAILED, "missing: carts.sellerId_1")
    assert finding.advice == "run `cart setup`"

    ran = await cart("setup")
    assert ran.code == 0, ran.output
    assert (await found(world.settings, "MongoDB indexes")).state is Status.OK
