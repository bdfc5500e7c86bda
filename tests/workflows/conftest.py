"""A worker in the test's process, on its own task queue, whose adapter calls can fail."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import WorkflowAlreadyStartedError

from models.operations import AddItem, CartOperation, RepairCart
from models.outcomes import OperationResult
from tests.support.actors import SHOPPER
from tests.support.call_faults import CallFaults
from tests.support.relays import RelayBench, relay_bench
from tests.support.shop import Buyer, Shop, World
from tests.support.workers import FaultyWorker, faulty_worker_of
from workflows import ids
from workflows.add_item import AddItemWorkflow
from workflows.requests import policy_of, search_attributes_of

SagaHandle = WorkflowHandle[Any, OperationResult]


@dataclass
class Bench:
    """A shop whose sagas run in this process.

    Their workflow tasks time out after `task_seconds`: soon, so that signals arrive soon.
    """

    shop: Shop
    faults: CallFaults
    task_queue: str
    task_seconds: float = 1

    def common(
        self,
        buyer: Buyer,
        asked: str,
        *,
        key: str = "",
        deadline_seconds: float = 30,
        **policy: Any,
    ) -> dict[str, Any]:
        """The fields that all operations have; `policy` changes fields of the policy."""
        policy |= {"deadline_seconds": deadline_seconds}
        return {
            "store_id": self.shop.store_id,
            "user_id": buyer.user_id,
            "operation_id": ids.operation_id(self.shop.store_id, buyer.user_id, key or uuid4().hex),
            "attempt_id": uuid4().hex,
            "fingerprint": asked,
            "actor": SHOPPER,
            "policy": policy_of(self.shop.world.settings).model_copy(update=policy),
        }

    async def run(self, workflow: Any, buyer: Buyer, request: CartOperation) -> SagaHandle:
        """Starts a saga. Waits while the stack's watch of holds has the cart's lock."""
        temporal = self.shop.world.temporal
        while True:
            try:
                handle: SagaHandle = await temporal.start_workflow(
                    workflow,
                    request,
                    id=buyer.workflow_id,
                    task_queue=self.task_queue,
                    task_timeout=timedelta(seconds=self.task_seconds),
                    search_attributes=search_attributes_of(request),
                )
            except WorkflowAlreadyStartedError as busy:
                running = temporal.get_workflow_handle(buyer.workflow_id, run_id=busy.run_id)
                if (await running.describe()).workflow_type != RepairCart.name:
                    raise
                await running.result()
            else:
                return handle

    async def start(
        self, buyer: Buyer, quantity: int = 2, *, product: str = "headphones", **options: Any
    ) -> SagaHandle:
        """Starts an add."""
        request = AddItem(
            **self.common(buyer, f"add {quantity}", **options),
            product_id=product,
            product_title=product.title(),
            product_price=Decimal("79.99"),
            quantity=quantity,
        )
        return await self.run(AddItemWorkflow.run, buyer, request)

    async def add(self, buyer: Buyer, quantity: int = 2, **options: Any) -> OperationResult:
        """Starts an add and waits for its end."""
        handle = await self.start(buyer, quantity, **options)
        return await handle.result()


@pytest.fixture(scope="session")
async def faulty_worker(world: World) -> AsyncIterator[FaultyWorker]:
    """The worker whose calls fail, one for all tests."""
    settings = world.settings.model_copy(update={"temporal_task_queue": f"test-{uuid4().hex[:8]}"})
    # The stack's own worker runs the relays, which deliver what is left pending here.
    relays_at = world.settings.temporal_task_queue
    async with faulty_worker_of(world, settings, relays_at=relays_at, sandboxed=True) as running:
        yield running


@pytest.fixture
async def bench(shop: Shop, faulty_worker: FaultyWorker) -> AsyncIterator[Bench]:
    """A shop with ten headphones, and the worker without faults."""
    worker, faults = faulty_worker.worker, faulty_worker.faults
    assert not worker.is_shutdown, "an earlier test stopped the worker, so no saga would end"
    await shop.stock("headphones", 10)
    faults.calls.clear()
    yield Bench(shop, faults, worker.task_queue)
    faults.heal()


@pytest.fixture
async def relays(shop: Shop) -> AsyncIterator[RelayBench]:
    """A worker that runs relays for this test only."""
    async with relay_bench(shop, shop.world.settings) as bench:
        yield bench
