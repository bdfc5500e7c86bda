"""The consumer process: killed anywhere, stopped, without its broker: each event has one effect."""

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

from dev.stack.stack import Stack
from models.events import ORDER_COMPLETED
from tests.support.consumer_under_test import MOMENTS, PARKING_MOMENTS, VARIABLE
from tests.support.events import OtherServices, other_services
from tests.support.outages import down
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

UNITS = 5
JOIN_SECONDS = 30.0


@dataclass
class Mortal:
    """A consumer of its own group that is started again when it has died."""

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

    async def live(self) -> None:
        """Starts it, and again whenever it was killed; returns when it has ended otherwise."""
        while True:
            env = {
                **self.stack.env,
                "KAFKA_GROUP_ID": self.group,
                VARIABLE: str(self.moment),
                "PYTHONPATH": str(Path.cwd()),
            }
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.support.consumer_under_test"),
                    env=env,
                    stdout=log,
                    stderr=log,
                )
            code = await self.process.wait()
            if code != -signal.SIGKILL:
                return
            self.deaths += 1

    async def dies_at(self, moment: str) -> None:
        """At the next such moment."""
        self.moment.write_text(moment)

    async def has_died(self, times: int) -> None:
        async def died() -> None:
            assert self.deaths >= times, self.log.read_text()[-2000:]

        await eventually(died, timeout=JOIN_SECONDS)


@pytest.fixture
async def mortal(stack: Stack, tmp_path: Path) -> AsyncIterator[Mortal]:
    """In the place of the stack's own consumer, which would do its work."""
    async with down(stack, "consumer"):
        consumer = Mortal(stack, tmp_path)
        living = asyncio.create_task(consumer.live())
        try:
            yield consumer
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            if consumer.process is not None and consumer.process.returncode is None:
                consumer.process.kill()
                await consumer.process.wait()


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


async def test_killed_at_any_moment_it_takes_each_event_once(
    shop: Shop, mortal: Mortal, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    buyers = []
    for number, moment in enumerate(MOMENTS):
        await mortal.dies_at(moment)
        buyer, cart_id = await with_units(shop)
        await others.order(buyer, cart_id, items=ONE)
        await mortal.has_died(number + 1)
        buyers.append(buyer)
    for number, moment in enumerate(PARKING_MOMENTS, len(MOMENTS)):
        await mortal.dies_at(moment)
        await others.send(ORDER_COMPLETED, b"{", key=f"{shop.store_id}-{moment}")
        await mortal.has_died(number + 1)
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


async def test_a_new_group_reads_everything_again_and_nothing_happens(
    shop: Shop, mortal: Mortal, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    first, cart_id = await with_units(shop)
    order_id = await others.order(first, cart_id, items=ONE)

    async def told(*events: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in mortal.log.read_text().splitlines()]
        said = [line for line in lines if line.get("orderId") == order_id]
        assert [line["event"] for line in said] == [*events]
        return said

    # Its effect is there before the consumer has heard of it.
    await eventually(partial(told, "cart_cleared"), timeout=JOIN_SECONDS)
    await one_unit_sold(first)
    await mortal.dies_at("before take")
    mortal.group = f"{mortal.group}-again"
    second, cart_id = await with_units(shop)
    await others.order(second, cart_id, items=ONE)
    await eventually(lambda: one_unit_sold(second), timeout=JOIN_SECONDS)
    read_again = partial(told, "cart_cleared", "order_without_effect")
    said = await eventually(read_again, timeout=JOIN_SECONDS)
    assert said[1]["outcome"] == "replayed"
    await one_unit_sold(first)
    await eventually(partial(sold, shop, 2))


async def test_sigterm_ends_it_when_what_it_began_is_done(
    shop: Shop, mortal: Mortal, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    first, cart_id = await with_units(shop)
    await others.order(first, cart_id, items=ONE)
    await eventually(lambda: one_unit_sold(first), timeout=JOIN_SECONDS)
    assert mortal.process is not None
    buyers = [await with_units(shop) for _ in range(5)]
    for buyer, cart_id in buyers:
        await others.order(buyer, cart_id, items=ONE)
    mortal.process.terminate()
    async with asyncio.timeout(15):
        assert await mortal.process.wait() == 0
    log = mortal.log.read_text()
    assert '"event":"consumer_stopped"' in log
    again = asyncio.create_task(mortal.live())
    for buyer, _ in buyers:
        await eventually(partial(one_unit_sold, buyer), timeout=JOIN_SECONDS)
    again.cancel()
    await eventually(partial(sold, shop, 6))


async def test_when_its_broker_comes_back_empty_it_goes_on(shop: Shop, stack: Stack) -> None:
    """The stand-in for Kafka begins at offset 0 again; Kafka itself is in `tests/kafka`."""
    await shop.stock("headphones", 100)
    async with down(stack, "kafka"):
        buyer, cart_id = await with_units(shop)
    async with other_services(stack.settings) as others:
        await others.order(buyer, cart_id, items=ONE)
        await eventually(lambda: one_unit_sold(buyer), timeout=60)


async def test_without_temporal_or_mongodb_events_wait_and_none_is_parked(
    shop: Shop, stack: Stack, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    for name in ("mongodb", "temporal", "worker"):
        buyer, cart_id = await with_units(shop)
        async with down(stack, name):
            await others.order(buyer, cart_id, items=ONE)
            await asyncio.sleep(1)  # long enough to try, and to give up if it did
        await eventually(partial(one_unit_sold, buyer), timeout=60)
        assert await others.letters(cart_id) == []
    await eventually(shop.assert_consistent)
