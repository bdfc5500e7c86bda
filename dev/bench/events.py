"""How fast events are taken in, and how fast those that could not be sent follow: by hand.

`python -m dev.bench.events [--rounds 10] [--orders 200] [--outage 300]`

On a local stack of its own. First completed orders through the consumer, and the same number of the
same sagas by the gateway from here, in turns, each as many at once; the ratio is that of a round.
Then adds while the broker is there, adds while it is dead, and the time in which it has all their
events when it is back. Exit code 1 when an event is missing or out of order.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaProducer
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from adapters.kafka.publisher import connection_options
from adapters.kafka.topics import records
from adapters.redis.answers import AnswerInbox
from dev.bench.client import RawClient
from dev.bench.contenders import PRODUCTS, STORE, add_request, fill_shelves, new_user, token_of
from dev.bench.rig import environment
from dev.bench.upkeep import plant
from dev.stack.stack import Stack
from models.events import CART_ITEM_ADDED, ORDER_COMPLETED
from models.incoming import OrderCompleted
from settings import Settings, load_settings
from workflows.event_handler import AT_ONCE, FIRST_PAUSE, PASSING
from workflows.event_operations import clear_for_order
from workflows.gateway import CartGateway, connect, policy_of

BUYERS, CARTS_OF_ONE = 16, 12
LIVE_SECONDS = 30.0
LOOK_SECONDS = 0.02
_CREATED = 201
IN_TIME_SECONDS = 900.0
Document = dict[str, Any]
Orders = list[OrderCompleted]
Tell = Callable[[Orders], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Bench:
    """The running stack, what it stores, and a gateway as the consumer has one."""

    settings: Settings
    stack: Stack
    carts: AsyncCollection[Document]
    operations: AsyncCollection[Document]
    gateway: CartGateway
    producer: AIOKafkaProducer

    async def until(self, query: Document, count: int) -> float:
        """Waits for so many records; when there were (`time.perf_counter()`)."""
        deadline = time.perf_counter() + IN_TIME_SECONDS
        while await self.operations.count_documents(query) != count:
            if time.perf_counter() > deadline:
                raise TimeoutError(f"not {count} of {query}")
            await asyncio.sleep(LOOK_SECONDS)
        return time.perf_counter()

    async def orders(self, count: int) -> Orders:
        """Carts with three lines in a store of their own, of which all is ordered."""
        store = f"bench-{uuid4().hex[:8]}"
        await plant(self.settings, store, count, datetime.now(UTC) + timedelta(days=30))
        return [
            OrderCompleted(
                cart_id=str(cart["_id"]),
                user_id=cart["userId"],
                store_id=store,
                order_id=uuid4().hex,
            )
            async for cart in self.carts.find({"storeId": store}, {"userId": 1})
        ]

    async def rate(self, orders: Orders, tell: Tell) -> float:
        """Orders a second, from the first one told to the last one's commit."""
        committed = {"storeId": orders[0].store_id, "state": "committed"}
        began = time.perf_counter()
        done, _ = await asyncio.gather(self.until(committed, len(orders)), tell(orders))
        await self.until({"pending": True}, 0)  # so that the next one has the machine
        return len(orders) / (done - began)

    async def by_consumer(self, orders: Orders) -> None:
        for order in orders:
            value = order.model_dump_json(by_alias=True, exclude_none=True).encode()
            await self.producer.send(ORDER_COMPLETED, value, key=order.cart_id.encode())
        await self.producer.flush()

    async def by_gateway(self, orders: Orders) -> None:
        """As many at once as the consumer takes, and again what a busy machine has not taken."""
        policy, waiting = policy_of(self.settings), list(orders)

        async def line() -> None:
            while waiting:
                order = waiting.pop()
                try:
                    await self.gateway.carry_out(clear_for_order(order, policy))
                except PASSING:
                    waiting.append(order)
                    await asyncio.sleep(FIRST_PAUSE)

        await asyncio.gather(*(line() for _ in range(AT_ONCE)))


@asynccontextmanager
async def bench(*, production: bool) -> AsyncIterator[Bench]:
    """Everything on a stack of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="cart-events-") as folder,
        environment(Path(folder), production=production),
    ):
        settings = load_settings()
        async with Stack(settings, echo=print, production=production) as stack:
            inbox = AnswerInbox(settings.redis)
            inbox.open()
            gateway = CartGateway(
                await connect(settings),
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
                inbox=inbox,
                fallback_seconds=settings.answer_fallback_ms / 1000,
            )
            mongo = AsyncMongoClient[Document](settings.mongodb.get_secret_value())
            producer = AIOKafkaProducer(**connection_options(settings))
            await producer.start()
            database = mongo.get_default_database("cart-service")
            try:
                yield Bench(
                    settings, stack, database["carts"], database["operations"], gateway, producer
                )
            finally:
                await producer.stop()
                await inbox.close()
                await mongo.close()


async def consume(bench: Bench, rounds: int, count: int) -> None:
    """Both ways in turns; the first round only warms them up."""
    ways = (bench.by_consumer, bench.by_gateway)
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for way in (0, 1) if number % 2 else (1, 0):
            rate = await bench.rate(await bench.orders(count), ways[way])
            if number:
                rates[way].append(rate)
        if number:
            print(
                f"round {number}: {rates[0][-1]:.1f} consumed, {rates[1][-1]:.1f} started here",
                flush=True,
            )
    ratios = sorted(one / other for one, other in zip(*rates, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
    print(
        f"orders a second, {AT_ONCE} at once: {statistics.median(rates[0]):.1f} by the consumer, "
        f"{statistics.median(rates[1]):.1f} by the gateway; ratio {statistics.median(ratios):.2f} "
        f"(half of the rounds {low:.2f} to {high:.2f})"
    )


async def outage(bench: Bench, seconds: float) -> bool:
    """Whether all events that were made while the broker was dead followed, in order."""
    await fill_shelves(bench.settings)
    buyers = [Buyer(bench.settings) for _ in range(BUYERS)]
    await shop(buyers, LIVE_SECONDS / 3)
    began, adds = time.perf_counter(), await shop(buyers, LIVE_SECONDS)
    done = await bench.until({"pending": True}, 0)
    live = adds / (done - began)
    print(f"with the broker: {live:.1f} events a second, {BUYERS} buyers at once")
    await bench.stack.kill("kafka", restart=False)
    since = datetime.now(UTC)
    made = await shop(buyers, seconds)
    left = await bench.operations.count_documents({"pending": True})
    print(f"without it for {seconds:.0f} s: {made / seconds:.1f} adds a second, {left} events wait")
    # The stand-in mixes offsets up when somebody publishes before its topics are made.
    bench.stack.pause("worker")
    await bench.stack.start_again("kafka")
    bench.stack.resume("worker")
    back = time.perf_counter()
    rate = left / (await bench.until({"pending": True}, 0) - back)
    print(f"back again: {rate:.1f} events a second, {rate / live:.1f} times as many as live")
    wrong = [line async for line in not_as_committed(bench, since)]
    print("\n".join(wrong) or f"the events of all {made} adds are there, each cart's in order")
    return not wrong


async def not_as_committed(bench: Bench, since: datetime) -> AsyncIterator[str]:
    """Carts whose events since then are not those of their changes, or in another order."""
    wanted: dict[str, list[int]] = defaultdict(list)
    query = {"storeId": STORE, "state": "committed", "at": {"$gte": since}}
    async for stored in bench.operations.find(query, sort=[("version", 1)]):
        wanted[stored["cartId"]].append(stored["version"])
    found: dict[str, list[int]] = defaultdict(list)
    async for record in records(bench.settings, CART_ITEM_ADDED):
        event = orjson.loads(record.value or b"{}")
        cart_id, version = event["cartId"], event["version"]
        if version in wanted[cart_id] and version not in found[cart_id]:
            found[cart_id].append(version)
    for cart_id, versions in wanted.items():
        if found[cart_id] != versions:
            yield f"cart {cart_id} has the events {found[cart_id]}, not {versions}"


class Buyer:
    """Adds to its carts in turns, one add after the other."""

    def __init__(self, settings: Settings) -> None:
        self._port = settings.port
        tokens = [token_of(settings, new_user()) for _ in range(CARTS_OF_ONE)]
        self._tokens, self._products = cycle(tokens), cycle(range(PRODUCTS))

    async def adds(self, until: float) -> int:
        done = 0
        async with RawClient(self._port) as client:
            while time.perf_counter() < until:
                product = f"product-{next(self._products)}"
                await client.send(add_request(product, token=next(self._tokens)), expect=_CREATED)
                done += 1
        return done


async def shop(buyers: list[Buyer], seconds: float) -> int:
    """How many adds all of them did in that time."""
    until = time.perf_counter() + seconds
    return sum(await asyncio.gather(*(buyer.adds(until) for buyer in buyers)))


async def main(rounds: int, orders: int, seconds: float, *, production: bool) -> bool:
    """Whether nothing was lost or out of order."""
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
    logging.disable(logging.ERROR)  # what is busy, or dead on purpose, would be told each time
    good = asyncio.run(main(given.rounds, given.orders, given.outage, production=given.production))
    sys.exit(0 if good else 1)
