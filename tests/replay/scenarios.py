"""What is recorded: for each history its name, and how to bring it about on a bench."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle

from models.errors import DependencyUnavailable, VersionConflict
from models.messages import RelayKind
from tests.support.relays import TOO_LARGE, RelayBench, details, failing
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids
from workflows.add_item import AddItemWorkflow
from workflows.relay import RelayWorkflow
from workflows.schedules import SweepWorkflow

FOR_EVER = 1000
KAFKA_IS_DOWN = DependencyUnavailable("kafka")
INVENTORY_IS_DOWN = DependencyUnavailable("inventory")

Run = WorkflowHandle[Any, Any]
Scenario = Callable[[Bench, RelayBench], Awaitable[Run]]
"""Runs a workflow of its own to its end; answers its handle."""


def buyer(relays: RelayBench) -> Buyer:
    """Whose cart is in the shard of the bench's relays."""
    return Buyer(relays.shop, relays.user(0), {})


async def add_committed(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays))


async def add_to_a_cart_that_moved_on(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("commit", "before", VersionConflict("moved"))
    return await bench.start(buyer(relays))


async def add_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays), 11)


async def add_rejected_for_its_limit(bench: Bench, relays: RelayBench) -> Run:
    await bench.shop.stock("headphones", 200)
    await bench.add(buyer(relays), 60)
    return await bench.start(buyer(relays), 60)


async def add_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=2)
    return await bench.start(buyer(relays))


async def add_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    _, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays), deadline_seconds=0.5)
    await handle.result()
    go_on.set()
    return handle


async def add_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    arrived, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays))
    await arrived.wait()
    await handle.signal(ids.ABORT, "an operator says so")
    await handle.result()
    go_on.set()
    return handle


async def add_cancelled(bench: Bench, relays: RelayBench) -> Run:
    arrived, go_on = bench.faults.hold("commit")
    handle = await bench.start(buyer(relays))
    await arrived.wait()
    await handle.cancel()
    await ended(handle)
    go_on.set()
    return handle


async def add_committed_unheard(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("commit", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    return await bench.start(buyer(relays), deadline_seconds=0.5)


async def add_settled_when_mongodb_is_back(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "before", INVENTORY_IS_DOWN, times=2)
    bench.faults.fail("settle", "before", DependencyUnavailable("mongodb"), times=2)
    return await bench.start(buyer(relays))


async def add_with_its_event_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_behind_a_pending_event(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    await bench.add(buyer(relays))
    return await bench.start(buyer(relays))


async def add_with_its_release_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=2)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_replayed_by_its_key(bench: Bench, relays: RelayBench) -> Run:
    key = uuid4().hex
    await bench.add(buyer(relays), key=key)
    return await bench.start(buyer(relays), key=key)


async def relay_delivering(bench: Bench, relays: RelayBench) -> Run:
    for version in (1, 2, 3):
        await relays.plant_event(version)
    return await relays.wake()


async def relay_failing_and_retried(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=2)
    relay = await relays.wake()
    for times in (1, 2):
        await failing(relay, times=times)
        await relay.signal(RelayWorkflow.retry_now)
    return relay


async def relay_paused_and_resumed(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    await failing(relay)
    await relay.signal(RelayWorkflow.pause)

    async def paused() -> None:
        assert "paused" in await details(relay)

    await eventually(paused)
    await relay.signal(RelayWorkflow.resume)
    return relay


async def relay_skipping(bench: Bench, relays: RelayBench) -> Run:
    poison = await relays.plant_event(1, size=TOO_LARGE)
    await relays.plant_event(2)
    relay = await relays.wake()
    await failing(relay)
    await relay.signal(RelayWorkflow.skip, args=[poison.id, "nobody can take it"])
    return relay


async def relay_of_releases(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_release("headphones", saga_id="saga-1")
    return await relays.wake(RelayKind.RELEASES)


async def sweep(bench: Bench, relays: RelayBench) -> Run:
    return await bench.shop.world.temporal.start_workflow(
        SweepWorkflow.run, id=f"sweep-{uuid4()}", task_queue=bench.task_queue
    )


async def ended(handle: Run) -> None:
    """Waits for its end, whatever that is."""
    await asyncio.gather(handle.result(), return_exceptions=True)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        add_committed,
        add_to_a_cart_that_moved_on,
        add_rejected_for_stock,
        add_rejected_for_its_limit,
        add_undone_without_inventory,
        add_undone_by_its_deadline,
        add_undone_by_an_operator,
        add_cancelled,
        add_committed_unheard,
        add_settled_when_mongodb_is_back,
        add_with_its_event_deferred,
        add_behind_a_pending_event,
        add_with_its_release_deferred,
        add_replayed_by_its_key,
        relay_delivering,
        relay_failing_and_retried,
        relay_paused_and_resumed,
        relay_skipping,
        relay_of_releases,
        sweep,
    )
}
WORKFLOWS = {"add": AddItemWorkflow, "relay": RelayWorkflow, "sweep": SweepWorkflow}
"""What the first word of a history's name says."""
