"""A worker in the test's process, with real adapters whose calls can fail."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from temporalio.worker import Worker

from adapters.inventory import InventoryClient
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.carts import CartStore
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from settings import Settings
from tests.support.call_faults import CallFaults, with_call_faults
from tests.support.keys import KEYRING
from tests.support.shop import World
from worker import build_worker
from workflows.gateway import CartGateway
from workflows.requests import policy_of


@dataclass(frozen=True)
class FaultyWorker:
    """A worker, the faults of its adapters, and its gateway and publisher."""

    worker: Worker
    faults: CallFaults
    gateway: CartGateway
    events: EventPublisher


@asynccontextmanager
async def faulty_worker_of(
    world: World, settings: Settings, *, relays_at: str, sandboxed: bool = False
) -> AsyncIterator[FaultyWorker]:
    """Runs a worker with these settings.

    Relays of the task queue `relays_at` deliver the effects that it leaves pending.
    """
    faults = CallFaults()
    # The world's client: a process's documents are bound to one only.
    carts = CartStore(world.carts.client)
    inventory = InventoryClient.of(settings, timeout_seconds=5)
    redis = RedisPool(settings.redis)
    events = EventPublisher(settings)
    gateway = CartGateway(world.temporal, task_queue=relays_at, lock_wait_seconds=5)
    worker = build_worker(
        world.temporal,
        settings,
        carts=with_call_faults(carts, faults),
        operations=with_call_faults(
            OperationStore(carts.client, KEYRING, grace_seconds=settings.relay_grace_seconds),
            faults,
        ),
        inventory=with_call_faults(inventory, faults),
        cache=with_call_faults(CartCache(redis, KEYRING, ttl_seconds=60), faults),
        stock=StockCache(redis, KEYRING, ttl_seconds=60),
        events=with_call_faults(events, faults),
        outbox=with_call_faults(Outbox(), faults),
        gateway=gateway,
        keyring=KEYRING,
        limiter=RateLimiter(redis),
        policies=StorePolicies(policy_of(settings), StoreSettingsStore().read_all),
        sandboxed=sandboxed,
    )
    async with worker:
        yield FaultyWorker(worker, faults, gateway, events)
    for adapter in (inventory, redis, events):
        await adapter.close()
