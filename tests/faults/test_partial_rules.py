"""Each partial fault makes its part of a system sick, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.kafka.publisher import EventPublisher, Outgoing
from models.errors import CartServiceError
from models.events import CART_ITEM_ADDED, ORDER_COMPLETED
from settings import LOCALHOST
from tests.faults.partial.faults import (
    KAFKA,
    MONGODB,
    REDIS,
    PartialFault,
    SickPart,
    applied,
)
from tests.faults.partial.kafka import partition_of
from tests.faults.rig import FaultRig
from tests.support.waiting import eventually

PART = SickPart("store-1", "user-1", partition=1)
SOON = 0.35
"""Sooner than the shortest delay."""
Database = Any


@pytest.fixture
async def database(rig: FaultRig) -> AsyncIterator[Database]:
    port = rig.links["worker-mongodb"].port
    url = f"mongodb://{LOCALHOST}:{port}/?directConnection=true&retryWrites=false&retryReads=false"
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        yield client["partial-faults"]
        await client.drop_database("partial-faults")


async def in_mongodb(database: Database, call: str, user_id: str) -> bool:
    """Whether a command about a cart succeeds soon."""
    name, _, collection = call.partition(" ")
    cart = {"storeId": "store-1", "userId": user_id}
    try:
        async with database.client.start_session() as session, asyncio.timeout(SOON):
            match name:
                case "find":
                    await database[collection].find_one(cart)
                case "insert":
                    await database[collection].insert_one(dict(cart))
                case "update":
                    await database[collection].update_one(cart, {"$set": {"version": 2}})
                case "aggregate":
                    await (await database[collection].aggregate([{"$match": cart}])).to_list()
                case "commitTransaction":
                    await session.start_transaction()
                    await database["carts"].insert_one(dict(cart), session=session)
                    await session.commit_transaction()
    except (PyMongoError, TimeoutError):
        return False
    return True


@pytest.mark.parametrize("fault", MONGODB, ids=str)
async def test_mongodb_fails_one_command_on_one_cart(
    rig: FaultRig, database: Database, fault: PartialFault
) -> None:
    [call] = fault.calls
    other = "find carts" if call != "find carts" else "find operations"
    async with applied(rig, fault, PART):
        assert not await in_mongodb(database, call, "user-1")
        assert await in_mongodb(database, call, "user-12")
        assert await in_mongodb(database, other, "user-1")
    assert await in_mongodb(database, call, "user-1")


@pytest.mark.parametrize("fault", REDIS, ids=str)
async def test_redis_fails_one_command_on_one_cart(rig: FaultRig, fault: PartialFault) -> None:
    async def in_pipeline(user_id: str) -> list[bool]:
        """Whether each command about a cart, and one that is about none, succeeds soon."""
        try:
            async with asyncio.timeout(SOON), redis.pipeline(transaction=False) as pipeline:
                for call in fault.calls:
                    more = ["{}"] if call == "SET" else []
                    pipeline.execute_command(call, f"Cart:store-1:{user_id}:v1", *more)
                pipeline.publish("nobody", "hello")
                answers = await pipeline.execute(raise_on_error=False)
        except TimeoutError:
            return []
        return [not isinstance(answer, RedisError) for answer in answers]

    port = rig.links["worker-redis"].port
    async with Redis(host=LOCALHOST, port=port) as redis:
        await redis.ping()
        every = len(fault.calls)
        async with applied(rig, fault, PART):
            assert await in_pipeline("user-1") == (
                [] if fault.seconds else [False] * every + [True]
            )
            assert await in_pipeline("user-12") == [True] * (every + 1)
        assert await in_pipeline("user-1") == [True] * (every + 1)


PARTITIONS = [fault for fault in KAFKA if fault.topic is None]


def key_of(partition: int) -> bytes:
    """A key of a message in this partition."""
    return next(f"{n}".encode() for n in range(1000) if partition_of(f"{n}") == partition)


@pytest.mark.parametrize("fault", [one for one in PARTITIONS if "produce" in one.calls], ids=str)
async def test_kafka_stores_nothing_in_one_partition(rig: FaultRig, fault: PartialFault) -> None:
    publisher = EventPublisher(rig.settings)

    async def publish(topic: str, partition: int) -> bool:
        message = Outgoing("test", topic, key_of(partition), b"{}", [])
        try:
            await publisher.send([message])
        except CartServiceError:
            return False
        return True

    try:
        assert await publish(ORDER_COMPLETED, 1)
        async with applied(rig, fault, PART):
            for _ in range(3):  # no circuit but its own opens
                assert not await publish(CART_ITEM_ADDED, 1)
                assert await publish(CART_ITEM_ADDED, 0)
                assert await publish(ORDER_COMPLETED, 1)

        async def publishes_again() -> None:
            assert await publish(CART_ITEM_ADDED, 1)

        await eventually(publishes_again)
    finally:
        await publisher.close()


@pytest.mark.parametrize("fault", [one for one in PARTITIONS if "fetch" in one.calls], ids=str)
async def test_kafka_returns_nothing_of_one_partition(rig: FaultRig, fault: PartialFault) -> None:
    at = f"{LOCALHOST}:{rig.settings.kafka_port}"
    async with AIOKafkaProducer(bootstrap_servers=at) as producer:
        sent = [
            await producer.send_and_wait(ORDER_COMPLETED, b"{}", partition=partition)
            for partition in (0, 1)
        ]
    async with AIOKafkaConsumer(bootstrap_servers=at, fetch_max_wait_ms=50) as consumer:
        consumer.assign([one.topic_partition for one in sent])

        async def read() -> set[int]:
            for one in sent:  # what is before may be undecodable
                consumer.seek(one.topic_partition, one.offset)
            found: set[int] = set()
            for _ in range(4):
                batch = await consumer.getmany(timeout_ms=100)
                found |= {one.partition for one in batch}
            return found

        async with applied(rig, fault, PART):
            assert await read() == {0}
        assert await read() == {0, 1}
