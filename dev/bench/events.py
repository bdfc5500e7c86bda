"""How fast the consumer handles events, and how fast events follow after a broker outage.

`python -m dev.bench.events [--rounds 10] [--orders 200] [--outage 300] [--production]`

First, completed orders through the consumer and the same number of the same sagas started from
here, in turns and equally concurrent; the ratio is that of a round. Then adds with the broker up,
adds with it down, and the time until it has their events after its return. Exit code 1 if an event
is missing or out of order.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer

from adapters.kafka.connection import connection_options
from adapters.kafka.topics import records
from adapters.keyring import Keyring
from adapters.redis.answers import AnswerInbox
from dev.bench.client import RawClient
from dev.bench.data import CREATED, PRODUCTS, STORE, add_request, new_user, plant, set_stock
from dev.bench.measure import compared
from dev.bench.rig import local_stack
from dev.inventory_service.documents import Document
from dev.stack.apps import APPS, SERVERS
from dev.stack.stack import Stack
from models.documents import Cart, OperationRecord
from models.events import CART_ITEM_ADDED, ORDER_COMPLETED
from models.incoming import OrderCompleted
from settings import Settings
from workflows.connection import connect
from workflows.event_handler import AT_ONCE, FIRST_PAUSE, PASSING
from workflows.event_operations import apply_order
from workflows.gateway import CartGateway
from workflows.requests import policy_of

SHOPPERS, CARTS_PER_SHOPPER = 16, 12
LIVE_SECONDS = 30.0
POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 900.0
PENDING: Document = {"pending": True}
Orders = list[OrderCompleted]


@dataclass(frozen=True)
class EventBench:
    """The running stack, a gateway like the consumer's, and a producer."""

    settings: Settings
    stack: Stack
    gateway: CartGateway
    producer: AIOKafkaProducer

    async def orders(self, count: int) -> Orders:
        """Orders of all lines of new carts in a new store."""
        store = f"bench-{uuid4().hex[:8]}"
        await plant(self.settings, store, count, datetime.now(UTC) + timedelta(days=30))
        carts = Cart.get_pymongo_collection().find({"storeId": store}, {"userId": 1})
        return [
            OrderCompleted(
                cart_id=str(cart["_id"]),
                user_id=cart["userId"],
                store_id=store,
                order_id=uuid4().hex,
            )
            async for cart in carts
        ]

    async def rate(self, orders: Orders, start: Callable[[Orders], Awaitable[None]]) -> float:
        """Orders per second, from the first start to the last commit."""
        committed = {"storeId": orders[0].store_id, "state": "committed"}
        begin = time.perf_counter()
        done, _ = await asyncio.gather(until(committed, len(orders)), start(orders))
        await until(PENDING, 0)  # the next measurement must have the machine to itself
        return len(orders) / (done - begin)

    async def by_consumer(self, orders: Orders) -> None:
        for order in orders:
            value = order.model_dump_json(by_alias=True, exclude_none=True).encode()
            await self.producer.send(ORDER_COMPLETED, value, key=order.cart_id.encode())
        await self.producer.flush()

    async def by_gateway(self, orders: Orders) -> None:
        """Starts as many concurrent sagas as the consumer, with its retries."""
        policy, waiting = policy_of(self.settings), list(orders)

        async def start() -> None:
            while waiting:
                order = waiting.pop()
                try:
                    await self.gateway.carry_out(apply_order(order, policy))
                except PASSING:
                    waiting.append(order)
                    await asyncio.sleep(FIRST_PAUSE)

        await asyncio.gather(*(start() for _ in range(AT_ONCE)))


async def until(query: Document, count: int) -> float:
    """Waits for so many operation records; returns the time (`time.perf_counter()`)."""
    records = OperationRecord.get_pymongo_collection()
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while await records.count_documents(query) != count:  # noqa: ASYNC110 (in MongoDB)
            await asyncio.sleep(POLL_SECONDS)
    return time.perf_counter()


@asynccontextmanager
async def bench(
    *, parts: Collection[str] = (*SERVERS, *APPS), production: bool = False
) -> AsyncIterator[EventBench]:
    """A stack of its own, with a gateway and a producer."""
    async with local_stack(parts=parts, production=production) as stack:
        settings = stack.settings
        inbox = AnswerInbox(settings.redis, Keyring(settings.secrets_of_data))
        inbox.open()
        gateway = CartGateway(
            await connect(settings),
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
            inbox=inbox,
            fallback_seconds=settings.answer_fallback_ms / 1000,
        )
        producer = AIOKafkaProducer(**connection_options(settings))
        await producer.start()
        try:
            yield EventBench(settings, stack, gateway, producer)
        finally:
            await producer.stop()
            await inbox.close()


async def consume(bench: EventBench, rounds: int, count: int) -> None:
    """Consumer and gateway in turns; the first round only warms them up."""
    starts = (bench.by_consumer, bench.by_gateway)
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for index in (0, 1) if number % 2 else (1, 0):
            rate = await bench.rate(await bench.orders(count), starts[index])
            if number:
                rates[index].append(rate)
        if number:
            consumer, gateway = rates[0][-1], rates[1][-1]
            line = f"round {number}: {consumer:.1f} by the consumer, {gateway:.1f} by the gateway"
            print(line, flush=True)
    print(f"orders per second by consumer and gateway, {AT_ONCE} at once: {compared(*rates)}")


async def outage(bench: EventBench, seconds: float) -> bool:
    """Whether all events of adds during an outage of the broker followed, in order."""
    await set_stock(bench.settings)
    shoppers = [adds(bench.settings) for _ in range(SHOPPERS)]
    await shop(bench.settings, shoppers, LIVE_SECONDS / 3)
    begin = time.perf_counter()
    added = await shop(bench.settings, shoppers, LIVE_SECONDS)
    live = added / (await until(PENDING, 0) - begin)
    print(f"broker up: {live:.1f} events per second, {SHOPPERS} shoppers at once")
    await bench.stack.kill("kafka", restart=False)
    since = datetime.now(UTC)
    made = await shop(bench.settings, shoppers, seconds)
    left = await OperationRecord.get_pymongo_collection().count_documents(PENDING)
    print(f"down for {seconds:.0f} s: {made / seconds:.1f} adds per second, {left} events pending")
    # Tansu confuses offsets if an event is published before its topics are created.
    bench.stack.pause("worker")
    await bench.stack.start_again("kafka")
    bench.stack.resume("worker")
    back = time.perf_counter()
    rate = left / (await until(PENDING, 0) - back)
    print(f"up again: {rate:.1f} events per second, {rate / live:.1f} times the rate before")
    wrong = [line async for line in misordered(bench.settings, since)]
    print("\n".join(wrong) or f"all events of {made} adds were published, in order for each cart")
    return not wrong


async def misordered(settings: Settings, since: datetime) -> AsyncIterator[str]:
    """Carts whose events since then differ from their changes, or are in another order."""
    wanted: dict[str, list[int]] = defaultdict(list)
    query = {"storeId": STORE, "state": "committed", "at": {"$gte": since}}
    stored = OperationRecord.get_pymongo_collection().find(query, sort=[("version", 1)])
    async for record in stored:
        wanted[record["cartId"]].append(record["version"])
    found: dict[str, list[int]] = defaultdict(list)
    async for message in records(settings, CART_ITEM_ADDED):
        event = orjson.loads(message.value or b"{}")
        cart_id, version = event["cartId"], event["version"]
        if version in wanted[cart_id] and version not in found[cart_id]:
            found[cart_id].append(version)
    for cart_id, versions in wanted.items():
        if found[cart_id] != versions:
            yield f"cart {cart_id} has the events {found[cart_id]}, not {versions}"


def adds(settings: Settings) -> Iterator[bytes]:
    """Requests of one shopper, who adds to several carts in turn."""
    users = [new_user() for _ in range(CARTS_PER_SHOPPER)]
    for number in count():
        user, product = users[number % len(users)], f"product-{number % PRODUCTS}"
        yield add_request(settings, user, product)


async def shop(settings: Settings, shoppers: list[Iterator[bytes]], seconds: float) -> int:
    """The number of adds in that time; each shopper sends one after the other."""
    end = time.perf_counter() + seconds

    async def send(requests: Iterator[bytes]) -> int:
        done = 0
        async with RawClient(settings.port) as client:
            while time.perf_counter() < end:
                await client.send(next(requests), expect=CREATED)
                done += 1
        return done

    return sum(await asyncio.gather(*map(send, shoppers)))


async def main(rounds: int, orders: int, seconds: float, *, production: bool) -> bool:
    """Whether no event was lost or out of order."""
    async with bench(production=production) as running:
        if rounds:
            await consume(running, rounds, orders)
        return seconds == 0 or await outage(running, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--outage", type=float, default=300, help="seconds")
    parser.add_argument("--production", action="store_true", help="PostgreSQL and Apache Kafka")
    given = parser.parse_args()
    logging.disable(logging.ERROR)  # errors of busy or stopped servers are expected
    good = asyncio.run(main(given.rounds, given.orders, given.outage, production=given.production))
    sys.exit(0 if good else 1)
