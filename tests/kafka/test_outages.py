"""Kafka dies, hangs and comes back: no acknowledged event is lost, and the order stays."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from temporalio.service import RPCError

from adapters.kafka.publisher import CLOSE_SECONDS, REQUEST_SECONDS, EventPublisher
from dev.stack.stack import Stack
from models.errors import DependencyUnavailable, NotSent
from models.outcomes import Outcome
from tests.kafka.test_publisher import event, read, versions
from tests.support.relays import RelayBench
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.relay import RelayWorkflow

SLOW_MACHINE_SECONDS = 10.0


@asynccontextmanager
async def killed(broker: Stack) -> AsyncIterator[None]:
    """Kills the broker, keeps it down inside, and waits until it accepts events again."""
    await broker.kill("kafka", restart=False)
    try:
        yield
    finally:
        await broker.start_again("kafka")  # it answers before its partitions have leaders
        publisher = EventPublisher(broker.settings)
        await works_again(publisher)
        await publisher.close()


@pytest.fixture
async def publisher(broker: Stack) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(broker.settings)
    yield publisher
    await publisher.close()


async def seconds_until_it_fails(publisher: EventPublisher) -> float:
    """The duration of the first publish that fails; a paused process may work for a moment."""
    while True:
        began = time.monotonic()
        try:
            await publisher.publish([event("frozen")])
        except DependencyUnavailable:
            return time.monotonic() - began


async def works_again(publisher: EventPublisher) -> None:
    await eventually(lambda: publisher.publish([event("again")]))


async def test_a_frozen_broker_costs_one_publish_timeout(
    publisher: EventPublisher, broker: Stack
) -> None:
    await publisher.publish([event("before")])
    broker.pause("kafka")
    try:
        waited = await seconds_until_it_fails(publisher)
        assert waited < broker.settings.publish_timeout_seconds + SLOW_MACHINE_SECONDS
        began = time.monotonic()
        trials, at_once = 0, 0
        while at_once < 10:  # a slow machine takes longer, and may meet a trial call each second
            try:
                await publisher.publish([event("frozen")])
            except NotSent:
                at_once += 1
            except DependencyUnavailable:
                trials += 1
        assert trials <= time.monotonic() - began
    finally:
        broker.resume("kafka")
    await works_again(publisher)


def tasks_of_producers() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if "aiokafka/producer" in repr(task)}


async def test_nothing_of_a_producer_is_left_after_publishes_have_failed(broker: Stack) -> None:
    """Each failed publish replaces the producer, whose tasks would go on for ever."""
    publisher = EventPublisher(broker.settings)
    await publisher.publish([event("before")])
    others = tasks_of_producers()
    broker.pause("kafka")
    try:
        for _ in range(2):
            with suppress(DependencyUnavailable):
                await publisher.publish([event("frozen")], bypass_breaker=True)

        async def ended() -> None:
            assert tasks_of_producers() <= others

        await publisher.close()
        await eventually(ended, timeout=REQUEST_SECONDS + CLOSE_SECONDS + SLOW_MACHINE_SECONDS)
    finally:
        broker.resume("kafka")


async def test_a_killed_broker_loses_no_acknowledged_event(
    publisher: EventPublisher, broker: Stack
) -> None:
    carts = [uuid4().hex for _ in range(8)]
    acknowledged: dict[str, int] = dict.fromkeys(carts, 0)
    flowing, stop = asyncio.Event(), asyncio.Event()

    async def publish(cart: str) -> None:
        """Publishes each version until it is acknowledged, as a relay does."""
        version = 1
        while not stop.is_set():
            try:
                await publisher.publish([event(cart, version)])
            except DependencyUnavailable:
                await asyncio.sleep(0.05)
                continue
            acknowledged[cart] = version
            version += 1
            if version == 20:
                flowing.set()

    async def all_carts_continue(before: dict[str, int]) -> None:
        assert all(acknowledged[cart] > before[cart] + 5 for cart in carts)

    streams = [asyncio.create_task(publish(cart)) for cart in carts]
    await flowing.wait()
    async with killed(broker):
        at_the_kill = dict(acknowledged)
    await eventually(lambda: all_carts_continue(at_the_kill), timeout=30)
    stop.set()
    await asyncio.gather(*streams)
    arrived = await read(broker.settings, *carts)
    for cart in carts:
        first_deliveries = list(dict.fromkeys(versions(arrived[cart])))
        assert first_deliveries == [*range(1, len(first_deliveries) + 1)]
        assert len(first_deliveries) >= acknowledged[cart]


async def test_sagas_commit_without_the_broker_and_their_events_follow(
    relays: RelayBench, broker: Stack
) -> None:
    shop = relays.shop
    carts = [Buyer(shop, relays.user(number), {}) for number in range(4)]
    await shop.stock("headphones", 1000)
    bench = Bench(shop, relays.faults, relays.settings.temporal_task_queue)
    in_the_middle = asyncio.Event()

    async def shopping(buyer: Buyer) -> None:
        for number in range(12):
            if number == 4:
                in_the_middle.set()
            assert (await bench.add(buyer, 1)).outcome is Outcome.COMMITTED

    shoppers = [asyncio.create_task(shopping(buyer)) for buyer in carts]
    await in_the_middle.wait()
    async with killed(broker):
        await asyncio.gather(*shoppers)
        assert 0 not in await pending(shop, carts)
    with suppress(RPCError):  # the relay has ended already
        await relays.handle().signal(RelayWorkflow.retry_now)
    for buyer in carts:
        assert (await bench.add(buyer, 1)).outcome is Outcome.COMMITTED

    async def all_published() -> None:
        assert await pending(shop, carts) == [0] * len(carts)

    await eventually(all_published, timeout=30)
    for buyer in carts:
        assert await relays.versions(buyer.user_id) == [*range(1, 14)]
    await shop.assert_consistent()


async def pending(shop: Shop, carts: list[Buyer]) -> list[int]:
    """The number of records with pending effects of each cart."""
    records = [record for record in await shop.records() if record.pending]
    return [sum(record.user_id == cart.user_id for record in records) for cart in carts]
