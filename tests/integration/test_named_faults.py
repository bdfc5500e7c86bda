"""`cart doctor` and `cart setup` report wrong passwords, missing indexes and carts of another
service, and how to fix them."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from bson import ObjectId
from redis.asyncio import Redis

from cli.console import CliError
from cli.doctor.checks import examine
from cli.doctor.results import CheckResult, Status
from cli.setup import create_indexes
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
    assert "REDIS_PASSWORD" in finding.advice

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


@pytest.fixture
async def shared_database(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Settings]:
    """Settings that name another database, which is empty at first and dropped at the end."""
    port, name = world.settings.mongodb_port, f"shared-{uuid4().hex[:8]}"
    monkeypatch.setenv("MONGODB_URI", f"mongodb://127.0.0.1:{port}/{name}?replicaSet=rs0")
    yield load_settings()
    await world.carts.client.drop_database(name)


async def test_setup_refuses_a_database_with_the_carts_of_the_original_service(
    shared_database: Settings, world: World
) -> None:
    """Its TTL index deletes a cart at `expireAt`, with the reservations still held."""
    database = world.carts.client[urlsplit(shared_database.mongodb.get_secret_value()).path[1:]]
    await database.carts.create_index([("userId", 1), ("storeId", 1)], unique=True)
    await database.carts.create_index("expireAt", expireAfterSeconds=0)
    await database.carts.insert_one({"userId": ObjectId(), "storeId": ObjectId(), "version": 1})
    before = await database.carts.index_information()

    with pytest.raises(CliError) as refused:
        await create_indexes(shared_database)

    for foreign in (
        "index userId_1_storeId_1",
        "carts without currency",
        "carts whose userId is a ObjectId",
    ):
        assert foreign in str(refused.value)
    assert await database.carts.index_information() == before
    assert (await found(shared_database, "MongoDB indexes")).advice.startswith("name another")

    await database.carts.drop()
    await create_indexes(shared_database)
    await create_indexes(shared_database)  # with our own indexes there
