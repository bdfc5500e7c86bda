"""A worker inside the test, on a task queue of its own, whose adapters fail as told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.worker import Worker

from adapters.cache import CartCache
from adapters.carts import CartStore
from adapters.events import EventPublisher
from adapters.inventory import InventoryClient
from adapters.outbox import Outbox
from adapters.redis_pool import RedisPool
from adapters.stock_cache import StockCache
from models.messages import AddItemInput, CartOperation, OperationResult
from settings import Settings
from tests.support.faults import Faults, faulty
from tests.support.relays import RelayBench, relay_bench
from tests.support.shop import Buyer, Shop, World
from worker import build_worker
from workflows import ids
from workflows.add_item import AddItemWorkflow
from workflows.gateway import CartGateway, new_attempt, policy_of

Handle = WorkflowHandle[Any, OperationResult]


@dataclass
class Bench:
    """A shop whose sagas run in this process."""

    shop: Shop
    faults: Faults
    task_queue: str

    def common(
        self,
        buyer: Buyer,
        asked: str,
        *,
        key: str = "",
        deadline_seconds: float = 30,
        **policy: Any,
    ) -> dict[str, Any]:
        """The fields that all operations have; what else is given is of its policy."""
        policy |= {"deadline_seconds": deadline_seconds}
        return {
            "store_id": self.shop.store_id,
            "user_id": buyer.user_id,
            "operation_id": ids.operation_id(self.shop.store_id, buyer.user_id, key or uuid4().hex),
            "attempt_id": new_attempt(),
            "fingerprint": asked,
            "policy": policy_of(self.shop.world.settings).model_copy(update=policy),
        }

    async def run(self, workflow: Any, buyer: Buyer, request: CartOperation) -> Handle:
        """Starts a saga. Its workflow tasks last a second, so that signals arrive within one."""
        handle: Handle = await self.shop.world.temporal.start_workflow(
            workflow,
            request,
            id=buyer.workflow_id,
            task_queue=self.task_queue,
            task_timeout=timedelta(seconds=1),
        )
        return handle

    async def start(self, buyer: Buyer, quantity: int = 2, **options: Any) -> Handle:
        """Starts an add."""
        request = AddItemInput(
            **self.common(buyer, f"add {quantity}", **options),
            product_id="headphones",
            product_title="Wireless Headphones",
            product_price=Decimal("79.99"),
            quantity=quantity,
        )
        return await self.run(AddItemWorkflow.run, buyer, request)

    async def add(self, buyer: Buyer, quantity: int = 2, **options: Any) -> OperationResult:
        """Starts an add and waits for its end."""
        handle = await self.start(buyer, quantity, **options)
        return await handle.result()


@asynccontextmanager
async def worker_that_fails(
    world: World, settings: Settings, *, relays_at: str, sandboxed: bool
) -> AsyncIterator[tuple[Worker, Faults]]:
    """A worker in this process with these settings, and its faults: none until they are told.

    What it leaves pending goes to the relays of the task queue `relays_at`.
    """
    faults = Faults()
    # The world's client: a process's documents are bound to one only.
    carts = CartStore(world.carts._client)
    inventory = InventoryClient(settings.inventory, timeout_seconds=5)
    redis = RedisPool(settings.redis)
    events = EventPublisher(settings)
    worker = build_worker(
        world.temporal,
        settings,
        carts=faulty(carts, faults),
        inventory=faulty(inventory, faults),
        cache=faulty(CartCache(redis, ttl_seconds=60), faults),
        stock=StockCache(redis, ttl_seconds=60),
        events=faulty(events, faults),
        outbox=faulty(Outbox(), faults),
        gateway=CartGateway(world.temporal, task_queue=relays_at, lock_wait_seconds=5),
        sandboxed=sandboxed,
    )
    async with worker:
        yield worker, faults
    for adapter in (inventory, redis, events):
        await adapter.close()


@pytest.fixture(scope="session")
async def faulty_worker(world: World) -> AsyncIterator[tuple[Worker, Faults]]:
    """A worker to be mean to, once for all tests, and its faults."""
    settings = world.settings.model_copy(update={"temporal_task_queue": f"test-{uuid4().hex[:8]}"})
    # Relays are the stack's own worker's: what is left pending here is done there.
    relays_at = world.settings.temporal_task_queue
    async with worker_that_fails(
        world, settings, relays_at=relays_at, sandboxed=True
    ) as worker_and_faults:
        yield worker_and_faults


@pytest.fixture
async def bench(shop: Shop, faulty_worker: tuple[Worker, Faults]) -> AsyncIterator[Bench]:
    """Stock of ten headphones, and a worker that fails as it is told, and not yet at all."""
    worker, faults = faulty_worker
    assert not worker.is_shutdown, "an earlier test ended the worker; no saga would ever end"
    await shop.stock("headphones", 10)
    faults.calls.clear()
    yield Bench(shop, faults, worker.task_queue)
    faults.heal()


@pytest.fixture
async def relays(shop: Shop) -> AsyncIterator[RelayBench]:
    """A worker whose relays are the test's own."""
    async with relay_bench(shop, shop.world.settings) as bench:
        yield bench
