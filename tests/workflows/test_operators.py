"""What operators can do to runs in the Temporal Web UI: reset, terminate, cancel, delete."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus

import activities.upkeep.watch
from models.documents import OperationRecord, Store
from models.upkeep.watch import HoldWatch
from tests.support.commands import cart
from tests.support.drift import limit_to_stores
from tests.support.resets import reset_to_first_task
from tests.support.schedules import paused_schedules
from tests.support.shop import Buyer, Shop, World
from tests.support.waiting import eventually
from tests.support.workers import faulty_worker_of
from tests.workflows.conftest import Bench
from workflows.upkeep.watch import WatchHoldsWorkflow

# Reset


async def reset(world: World, workflow_id: str) -> WorkflowExecutionStatus | None:
    """Resets the latest run; how the new run ended."""
    latest = world.temporal.get_workflow_handle(workflow_id)

    async def closed() -> str:
        description = await latest.describe()
        assert description.status is not WorkflowExecutionStatus.RUNNING
        return description.run_id

    return await reset_run(world, workflow_id, await eventually(closed))


async def reset_run(world: World, workflow_id: str, run_id: str) -> WorkflowExecutionStatus | None:
    """Resets a run to its first workflow task, as `temporal workflow reset` does, and waits for
    the new run; how that ended."""
    new_run_id = await reset_to_first_task(world.temporal, workflow_id, run_id)
    again = world.temporal.get_workflow_handle(workflow_id, run_id=new_run_id)

    async def ended() -> WorkflowExecutionStatus | None:
        description = await again.describe()
        assert description.status is not WorkflowExecutionStatus.RUNNING
        return description.status

    return await eventually(ended)


async def settled(shop: Shop) -> None:
    """Returns when no effect is pending."""

    async def nothing_pending() -> None:
        assert not any(record.pending for record in await shop.records())

    await eventually(nothing_pending)


async def state_of(shop: Shop) -> Any:
    """Everything that a reset must not change."""
    carts = [
        (one.user_id, one.version, one.units)
        for one in [await Buyer(shop, user, {}).cart() for user in await users(shop)]
        if one is not None
    ]
    return (
        sorted(carts),
        await shop.holds(),
        await shop.units("headphones"),
        sorted({event.value["eventId"] for event in await shop.events()}),
        sorted(record.id for record in await shop.records()),
    )


async def users(shop: Shop) -> list[str]:
    return sorted({record.user_id for record in await shop.records()})


async def change(buyer: Buyer, method: str, path: str, **body: Any) -> httpx.Response:
    """A change of the cart that is there."""
    return await buyer.shop.world.http.request(
        method, path, headers=buyer.headers, json=body or None
    )


async def cart_path(buyer: Buyer) -> str:
    found = await buyer.cart()
    assert found is not None
    return f"/api/v1/cart/{found.id}"


async def add(buyer: Buyer) -> httpx.Response:
    return await buyer.add(quantity=3)


async def update(buyer: Buyer, quantity: int) -> httpx.Response:
    path = await cart_path(buyer)
    return await change(buyer, "PUT", path, productId="headphones", quantity=quantity)


async def more(buyer: Buyer) -> httpx.Response:
    return await update(buyer, 5)


async def less(buyer: Buyer) -> httpx.Response:
    return await update(buyer, 1)


async def remove(buyer: Buyer) -> httpx.Response:
    return await change(buyer, "DELETE", f"{await cart_path(buyer)}/items/headphones")


async def clear(buyer: Buyer) -> httpx.Response:
    return await buyer.clear()


async def too_many(buyer: Buyer) -> httpx.Response:
    return await buyer.add(quantity=90)


async def unchanged(buyer: Buyer) -> httpx.Response:
    return await update(buyer, 2)


async def not_there(buyer: Buyer) -> httpx.Response:
    return await change(buyer, "PUT", await cart_path(buyer), productId="lamp", quantity=1)


Change = Callable[[Buyer], Awaitable[httpx.Response]]


@pytest.mark.parametrize("operation", [unchanged, not_there])
async def test_a_run_that_had_nothing_to_do_still_does_nothing_when_it_is_reset(
    shop: Shop, operation: Change
) -> None:
    """Also when the cart has changed so that it would have something to do."""
    for product in ("headphones", "lamp"):
        await shop.stock(product, 10)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=2)).status_code == 201
    assert (await operation(buyer)).status_code in {200, 404}
    run = max(await eventually(lambda: runs(buyer, 2)), key=lambda one: one.start_time)
    assert (await update(buyer, 3)).status_code == 200
    assert (await buyer.add("lamp", 2)).status_code == 201
    await settled(shop)
    before = (await state_of(shop))[:-1]
    await reset_run(shop.world, buyer.workflow_id, run.run_id)
    await settled(shop)
    assert (await state_of(shop))[:-1] == before
    await shop.assert_consistent()


async def runs(buyer: Buyer, count: int) -> list[Any]:
    found = await buyer.runs()
    assert len(found) == count
    return found


@pytest.mark.parametrize("operation", [add, more, less, remove, clear, too_many])
async def test_a_run_that_is_reset_changes_nothing(shop: Shop, operation: Change) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=2)).status_code == 201
    assert (await operation(buyer)).status_code in {200, 201}
    await settled(shop)
    before = await state_of(shop)
    status = await reset(shop.world, buyer.workflow_id)
    assert status is WorkflowExecutionStatus.COMPLETED
    await settled(shop)
    assert await state_of(shop) == before
    await shop.assert_consistent()


async def test_a_run_that_is_reset_after_a_later_change_does_not_undo_it(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=2)).status_code == 201
    first = (await eventually(lambda: only_run(buyer))).run_id
    assert (await less(buyer)).status_code == 200
    await settled(shop)
    before = await state_of(shop)
    await reset_run(shop.world, buyer.workflow_id, first)
    await settled(shop)
    assert await state_of(shop) == before
    await shop.assert_consistent()


async def only_run(buyer: Buyer) -> Any:
    [run] = await buyer.runs()
    return run


async def test_a_batch_of_runs_that_are_reset_changes_nothing(shop: Shop) -> None:
    await shop.stock("headphones", 100)
    buyers = [shop.buyer() for _ in range(8)]
    answers = await asyncio.gather(*(buyer.add(quantity=2) for buyer in buyers))
    assert {answer.status_code for answer in answers} <= {201, 202}
    await settled(shop)
    before = await state_of(shop)
    ends = await asyncio.gather(*(reset(shop.world, buyer.workflow_id) for buyer in buyers))
    assert set(ends) == {WorkflowExecutionStatus.COMPLETED}
    await settled(shop)
    assert await state_of(shop) == before
    await shop.assert_consistent()


# Terminate, and delete


@pytest.fixture
async def watched(
    bench: Bench, world: World, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """A store that the watch has never seen, and a watch that releases after a second."""
    monkeypatch.setattr(activities.upkeep.watch, "PAUSE_SECONDS", 0.05)
    limit_to_stores(monkeypatch, {bench.shop.store_id})
    async with paused_schedules(world.temporal):
        await HoldWatch.find_all().delete()
        yield bench


async def look(world: World, task_queue: str) -> None:
    await world.temporal.execute_workflow(
        WatchHoldsWorkflow.run, id=f"watch-{uuid4()}", task_queue=task_queue
    )


async def released(bench: Bench) -> None:
    """The watch gives back what nothing explains."""
    world = bench.shop.world
    settings = world.settings.model_copy(
        update={"temporal_task_queue": f"watch-{uuid4().hex[:8]}", "orphan_release_seconds": 0.01}
    )
    async with faulty_worker_of(world, settings, relays_at=world.settings.temporal_task_queue):

        async def given_back() -> None:
            await look(world, settings.temporal_task_queue)
            assert await bench.shop.holds() == {}
            assert await bench.shop.units("headphones") == (10, 0, 0)

        await eventually(given_back, timeout=60)


@pytest.mark.parametrize("step", ["reserve", "persist"])
async def test_what_a_terminated_run_reserved_is_given_back(watched: Bench, step: str) -> None:
    """Also when it was the first operation ever in its store, and its worker goes on with it."""
    shop, buyer = watched.shop, watched.shop.buyer()
    persisting, persist = watched.faults.hold("persist")
    arrived, go_on = (persisting, persist) if step == "persist" else watched.faults.hold(step)
    handle = await watched.start(buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    await handle.terminate("a test")
    if step == "reserve":
        go_on.set()
        await asyncio.wait_for(persisting.wait(), 30)

    async def abandoned() -> None:
        await look(shop.world, watched.task_queue)
        [record] = [one for one in await shop.records() if one.operation == "AddItem"]
        assert (record.state, record.reason) == ("aborted", "terminated")

    await eventually(abandoned)
    assert await shop.holds() == {(buyer.user_id, "headphones"): 2}
    doctor = await cart("doctor", "--json")
    assert buyer.user_id in doctor.output, "the doctor names it before it is released"
    await released(watched)
    persist.set()  # the worker of the terminated run goes on, and must not commit
    await asyncio.sleep(0.5)
    assert await buyer.cart() is None
    await shop.assert_consistent()


async def test_a_run_terminated_after_its_pivot_keeps_its_change(watched: Bench) -> None:
    buyer = watched.shop.buyer()
    arrived, go_on = watched.faults.hold("publish")
    handle = await watched.start(buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    await handle.terminate("a test")
    go_on.set()
    await look(watched.shop.world, watched.task_queue)
    await look(watched.shop.world, watched.task_queue)
    assert await watched.shop.holds() == {(buyer.user_id, "headphones"): 2}
    await watched.shop.assert_consistent()


async def test_what_a_deleted_run_reserved_is_given_back(watched: Bench) -> None:
    buyer = watched.shop.buyer()
    arrived, _ = watched.faults.hold("persist")
    handle = await watched.start(buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    await watched.shop.world.temporal.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=watched.shop.world.temporal.namespace,
            workflow_execution=WorkflowExecution(
                workflow_id=handle.id, run_id=handle.first_execution_run_id or ""
            ),
        )
    )
    await released(watched)


async def test_a_store_is_known_before_its_first_reservation(watched: Bench) -> None:
    watched.faults.fail("reserve", "before", KeyError("a bug"), times=1)
    arrived, go_on = watched.faults.hold("reserve")
    handle = await watched.start(watched.shop.buyer())
    await asyncio.wait_for(arrived.wait(), 30)
    assert await Store.get(watched.shop.store_id) is not None
    assert await OperationRecord.find({"storeId": watched.shop.store_id}).count() == 0
    go_on.set()
    await asyncio.wait_for(handle.result(), timedelta(seconds=30).total_seconds())
