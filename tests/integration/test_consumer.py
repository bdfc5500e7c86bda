"""The consumer process, killed, stopped or without a server: each event has one effect."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus

from dev.stack.stack import Stack
from models.events import ORDER_COMPLETED
from models.operations import ApplyOrder
from tests.support.crashing_consumer import MOMENTS, PARKING_MOMENTS, VARIABLE
from tests.support.events import OtherServices, other_services
from tests.support.metrics import scrape_port
from tests.support.outages import down
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

UNITS = 5
JOIN_SECONDS = 30.0


@dataclass
class RestartedConsumer:
    """A consumer process with its own group, started again after each kill."""

    stack: Stack
    folder: Path
    deaths: int = 0
    group: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")
    process: Process | None = None

    @property
    def log(self) -> Path:
        return self.folder / "consumer.log"

    @property
    def moment(self) -> Path:
        return self.folder / "moment"

    async def run(self) -> None:
        """Starts the process, again after each kill; returns when it ends by itself."""
        while True:
            env = {
                **self.stack.env,
                "KAFKA_GROUP_ID": self.group,
                VARIABLE: str(self.moment),
                "PYTHONPATH": str(Path.cwd()),
            }
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.support.crashing_consumer"),
                    env=env,
                    stdout=log,
                    stderr=log,
                )
            code = await self.process.wait()
            if code != -signal.SIGKILL:
                return
            self.deaths += 1

    async def dies_at(self, moment: str) -> None:
        """Lets the process die at the next such moment."""
        self.moment.write_text(moment)

    async def has_died(self, times: int) -> None:
        async def died() -> None:
            assert self.deaths >= times, self.log.read_text()[-2000:]

        await eventually(died, timeout=JOIN_SECONDS)


@pytest.fixture
async def consumer(stack: Stack, tmp_path: Path) -> AsyncIterator[RestartedConsumer]:
    """Replaces the stack's consumer, which is stopped meanwhile."""
    async with down(stack, "consumer"):
        restarted = RestartedConsumer(stack, tmp_path)
        running = asyncio.create_task(restarted.run())
        try:
            yield restarted
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            if restarted.process is not None and restarted.process.returncode is None:
                restarted.process.kill()
                await restarted.process.wait()


async def with_units(shop: Shop) -> tuple[Buyer, str]:
    buyer = shop.buyer()
    added = await buyer.add(quantity=UNITS)
    assert added.status_code == 201
    return buyer, added.json()["_id"]


async def one_unit_sold(buyer: Buyer) -> None:
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.quantity, cart.version) == (UNITS - 1, 2)


async def sold(shop: Shop, units: int) -> None:
    assert (await shop.units("headphones"))[2] == units


ONE = [{"productId": "headphones", "quantity": 1}]


async def test_each_event_has_one_effect_wherever_the_consumer_is_killed(
    shop: Shop, consumer: RestartedConsumer, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    buyers = []
    for number, moment in enumerate(MOMENTS):
        await consumer.dies_at(moment)
        buyer, cart_id = await with_units(shop)
        await others.order(buyer, cart_id, items=ONE)
        await consumer.has_died(number + 1)
        buyers.append(buyer)
    for number, moment in enumerate(PARKING_MOMENTS, len(MOMENTS)):
        await consumer.dies_at(moment)
        await others.send(ORDER_COMPLETED, b"{", key=f"{shop.store_id}-{moment}")
        await consumer.has_died(number + 1)
    for buyer in buyers:
        await eventually(partial(one_unit_sold, buyer), timeout=JOIN_SECONDS)

    async def parked() -> None:
        for moment in PARKING_MOMENTS:
            letters = await others.letters(f"{shop.store_id}-{moment}")
            assert {one.error for one in letters} == {"malformed"}

    await eventually(parked, timeout=JOIN_SECONDS)

    async def consistent() -> None:
        assert (await shop.units("headphones"))[2] == len(MOMENTS)
        await shop.assert_consistent()

    await eventually(consistent)


async def test_a_new_group_reads_all_events_again_without_effect(
    shop: Shop, consumer: RestartedConsumer, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    first, cart_id = await with_units(shop)
    order_id = await others.order(first, cart_id, items=ONE)

    async def logged(*events: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in consumer.log.read_text().splitlines()]
        said = [line for line in lines if line.get("orderId") == order_id]
        assert [line["event"] for line in said] == [*events]
        return said

    # The effect is stored before the consumer logs it.
    await eventually(partial(logged, "cart_cleared"), timeout=JOIN_SECONDS)
    await one_unit_sold(first)
    await consumer.dies_at("before take")
    consumer.group = f"{consumer.group}-again"
    second, cart_id = await with_units(shop)
    await others.order(second, cart_id, items=ONE)
    await eventually(lambda: one_unit_sold(second), timeout=JOIN_SECONDS)
    read_again = partial(logged, "cart_cleared", "order_without_effect")
    said = await eventually(read_again, timeout=JOIN_SECONDS)
    assert said[1]["outcome"] == "replayed"
    await one_unit_sold(first)
    await eventually(partial(sold, shop, 2))


async def test_sigterm_stops_the_consumer_after_its_open_events(
    shop: Shop, consumer: RestartedConsumer, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    first, cart_id = await with_units(shop)
    await others.order(first, cart_id, items=ONE)
    await eventually(lambda: one_unit_sold(first), timeout=JOIN_SECONDS)
    assert consumer.process is not None
    buyers = [await with_units(shop) for _ in range(5)]
    for buyer, cart_id in buyers:
        await others.order(buyer, cart_id, items=ONE)
    consumer.process.terminate()
    async with asyncio.timeout(15):
        assert await consumer.process.wait() == 0
    log = consumer.log.read_text()
    assert '"event":"consumer_stopped"' in log
    again = asyncio.create_task(consumer.run())
    for buyer, _ in buyers:
        await eventually(partial(one_unit_sold, buyer), timeout=JOIN_SECONDS)
    again.cancel()
    await eventually(partial(sold, shop, 6))


async def test_the_consumer_continues_when_its_broker_comes_back_empty(
    shop: Shop, stack: Stack
) -> None:
    """The stand-in for Kafka begins at offset 0 again; `tests/kafka` has Apache Kafka."""
    await shop.stock("headphones", 100)
    async with down(stack, "kafka"):
        buyer, cart_id = await with_units(shop)
    async with other_services(stack.settings) as others:
        await others.order(buyer, cart_id, items=ONE)
        await eventually(lambda: one_unit_sold(buyer), timeout=60)


async def retries(stack: Stack) -> float:
    """How often the stack's consumer has retried an event."""
    page = await scrape_port(stack.settings.consumer_metrics_port)
    return page("cart_event_consume_retries_total")


@pytest.mark.parametrize("name", ["temporal", "mongodb"])
async def test_without_temporal_or_mongodb_an_event_is_retried_until_it_has_its_effect(
    shop: Shop, stack: Stack, others: OtherServices, name: str
) -> None:
    """MongoDB has the settings of the store, without which no saga is started."""
    await shop.stock("headphones", 100)
    buyer, cart_id = await with_units(shop)
    before = await retries(stack)

    async def retried() -> None:
        assert await retries(stack) > before

    async with down(stack, name):
        await others.order(buyer, cart_id, items=ONE)
        await eventually(retried, timeout=JOIN_SECONDS)
    await eventually(partial(one_unit_sold, buyer), timeout=60)
    assert await others.letters(cart_id) == []
    await eventually(shop.assert_consistent)


async def test_without_a_worker_an_event_has_its_effect_later(
    shop: Shop, stack: Stack, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    buyer, cart_id = await with_units(shop)

    saga = shop.world.temporal.get_workflow_handle(buyer.workflow_id)

    async def added() -> None:
        assert (await saga.describe()).status is WorkflowExecutionStatus.COMPLETED

    async def started() -> None:
        assert (await saga.describe()).workflow_type == ApplyOrder.name

    await eventually(added)
    async with down(stack, "worker"):
        await others.order(buyer, cart_id, items=ONE)
        await eventually(started, timeout=JOIN_SECONDS)
    await eventually(partial(one_unit_sold, buyer), timeout=60)
    assert await others.letters(cart_id) == []
    await eventually(shop.assert_consistent)
