"""A worker inside the test, with real adapters whose calls fail as told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio.worker import Worker

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.mongo.outbox import Outbox
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from adapters.redis.stock_cache import StockCache
from settings import Settings
from tests.support.faults import Faults, faulty
from tests.support.shop import World
from worker import build_worker
from workflows.gateway import CartGateway


@dataclass(frozen=True)
class FaultyWorker:
    """A worker, its faults (none until they are told), and what it starts and publishes by."""

    worker: Worker
    faults: Faults
    gateway: CartGateway
    events: EventPublisher


@asynccontextmanager
async def faulty_worker_of(
    world: World, settings: Settings, *, relays_at: str, sandboxed: bool = False
) -> AsyncIterator[FaultyWorker]:
    """Runs a worker with these settings, on the servers that they name.

    What it leaves pending goes to the relays of the task queue `relays_at`.
    """
    faults = Faults()
    # The world's client: a process's documents are bound to one only.
    carts = CartStore(world.carts._client)
    inventory = InventoryClient(settings.inventory, timeout_seconds=5)
    redis = RedisPool(settings.redis)
    events = EventPublisher(settings)
    gateway = CartGateway(world.temporal, task_queue=relays_at, lock_wait_seconds=5)
    worker = build_worker(
        world.temporal,
        settings,
        carts=faulty(carts, faults),
        inventory=faulty(inventory, faults),
        cache=faulty(CartCache(redis, ttl_seconds=60), faults),
        stock=StockCache(redis, ttl_seconds=60),
        events=faulty(events, faults),
        outbox=faulty(Outbox(), faults),
        gateway=gateway,
        sandboxed=sandboxed,
    )
    async with worker:
        yield FaultyWorker(worker, faults, gateway, events)
    for adapter in (inventory, redis, events):
        await adapter.close()
