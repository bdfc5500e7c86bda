"""Helpers for the scenarios of recorded histories."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.client import WorkflowHandle

from models.errors import DependencyUnavailable
from tests.support.relays import RelayBench
from tests.support.resets import reset_to_first_task
from tests.support.shop import Buyer
from tests.workflows.conftest import Bench
from workflows import ids

KAFKA_IS_DOWN = DependencyUnavailable("kafka")
INVENTORY_IS_DOWN = DependencyUnavailable("inventory")

Run = WorkflowHandle[Any, Any]
Scenario = Callable[[Bench, RelayBench], Awaitable[Run]]
"""Starts a workflow and brings it to its end; returns its handle."""
Start = Callable[..., Awaitable[Run]]
"""Starts a saga; `deadline_seconds` is an option."""


def buyer(relays: RelayBench) -> Buyer:
    """A buyer whose cart is in the shard of the test's relays."""
    return Buyer(relays.shop, relays.user(0), {})


async def ended(handle: Run) -> None:
    """Waits for the end of a run, also of a failed one."""
    await asyncio.gather(handle.result(), return_exceptions=True)


async def past_its_deadline(bench: Bench, start: Start) -> Run:
    """Its pivot takes too long."""
    _, go_on = bench.faults.hold("persist")
    handle = await start(deadline_seconds=0.5)
    await handle.result()
    go_on.set()
    return handle


async def aborted(bench: Bench, start: Start) -> Run:
    """An operator undoes it before its pivot."""
    arrived, go_on = bench.faults.hold("persist")
    handle = await start()
    await arrived.wait()
    await handle.signal(ids.ABORT, "an operator says so")
    await handle.result()
    go_on.set()
    return handle


async def cancelled(bench: Bench, start: Start) -> Run:
    """It is cancelled before its pivot."""
    arrived, go_on = bench.faults.hold("persist")
    handle = await start()
    await arrived.wait()
    await handle.cancel()
    await ended(handle)
    go_on.set()
    return handle


async def reset_when_it_has_ended(bench: Bench, run: Run) -> Run:
    """An operator resets it to its first workflow task after its end."""
    await ended(run)
    temporal = bench.shop.world.temporal
    run_id = (await run.describe()).run_id
    new_run_id = await reset_to_first_task(temporal, run.id, run_id)
    return temporal.get_workflow_handle(run.id, run_id=new_run_id)
